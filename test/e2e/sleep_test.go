package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/test/internal/kube"
)

// TestSleep stops a Cluster in each way there is, and takes it up again: hibernation, pause, deletion.
func TestSleep(t *testing.T) {
	t.Parallel()

	f := newFixture(t, "sleep")
	f.start(t, f.newCluster(2))
	f.sql(t, f.primary(t), "app", "SET ROLE app; CREATE TABLE t AS SELECT generate_series(1, 100) AS id")

	step(t, f, "hibernate and wake", hibernate)
	step(t, f, "pause", pause)
	step(t, f, "restart by annotation", restartByAnnotation)
	step(t, f, "delete and take up again", adopt)
	step(t, f, "deletionPolicy Delete removes everything", deleteAll)
}

func hibernate(t *testing.T, f *fixture) {
	t.Helper()

	members, system := f.memberIDs(t), f.cluster(t).Status.SystemID
	f.sql(t, f.primary(t), "app", "INSERT INTO t SELECT generate_series(101, 200)")
	f.annotate(t, naming.AnnotationHibernate, "on")

	kube.Eventually(t, readyTimeout, "no pod is left and the status says so", func(ctx context.Context) error {
		if pods := f.pods(t); len(pods) > 0 {
			return fmt.Errorf("%d pods", len(pods))
		}

		cluster, err := f.get(ctx)
		if err != nil {
			return err
		}

		if !meta.IsStatusConditionTrue(cluster.Status.Conditions, postgresqlv1.ConditionHibernated) {
			return fmt.Errorf("%s", conditionsOf(cluster))
		}

		return nil
	})

	f.volumesExist(t, 2)
	f.annotate(t, naming.AnnotationHibernate, "off")
	f.waitReady(t)

	if meta.IsStatusConditionTrue(f.cluster(t).Status.Conditions, postgresqlv1.ConditionHibernated) {
		t.Errorf("it still says that it sleeps")
	}

	if diff := cmp.Diff(members, f.memberIDs(t)); diff != "" {
		t.Errorf("other members woke up (-before +after):\n%s", diff)
	}

	if got := f.cluster(t).Status.SystemID; got != system {
		t.Errorf("the system ID changed from %s to %s", system, got)
	}

	f.waitSQL(t, f.replicas(t)[0], "app", "SELECT count(*) FROM t", "200")
}

func (f *fixture) volumesExist(t *testing.T, want int) {
	t.Helper()

	var volumes corev1.PersistentVolumeClaimList

	err := f.Client.List(t.Context(), &volumes, client.InNamespace(f.namespace), client.MatchingLabels(naming.SelectorLabels(f.name)))
	if err != nil {
		t.Fatalf("list volumes: %v", err)
	}

	if len(volumes.Items) != want {
		t.Errorf("%d volumes, not %d", len(volumes.Items), want)
	}
}

func pause(t *testing.T, f *fixture) {
	t.Helper()

	before := f.podUIDs(t)
	f.annotate(t, naming.AnnotationPaused, "true")
	f.waitCondition(t, postgresqlv1.ConditionPaused, postgresqlv1.ReasonPaused, "")
	f.change(t, func(cluster *postgresqlv1.Cluster) { cluster.Spec.Instances = 1 })

	kube.Always(t, 5*time.Second, "nothing changes while it is paused", func(context.Context) error {
		if diff := cmp.Diff(before, f.podUIDs(t)); diff != "" {
			return fmt.Errorf("pods changed (-before +after):\n%s", diff)
		}

		return nil
	})

	// A paused Cluster still serves.
	f.sql(t, "db-0", "app", "INSERT INTO t VALUES (201)")
	f.change(t, func(cluster *postgresqlv1.Cluster) {
		cluster.Spec.Instances = 2
		delete(cluster.Annotations, naming.AnnotationPaused)
	})
	f.waitReady(t)

	if diff := cmp.Diff(before, f.podUIDs(t)); diff != "" {
		t.Errorf("pods changed (-before +after):\n%s", diff)
	}
}

func restartByAnnotation(t *testing.T, f *fixture) {
	t.Helper()

	before, uids := f.postmasterStarts(t), f.podUIDs(t)
	f.annotate(t, naming.AnnotationRestart, "1")

	for instance, start := range before {
		f.waitStartedAgain(t, instance, start)
	}

	f.waitReady(t)

	if diff := cmp.Diff(uids, f.podUIDs(t)); diff != "" {
		t.Errorf("pods were replaced (-before +after):\n%s", diff)
	}

	after := f.postmasterStarts(t)

	time.Sleep(5 * time.Second)

	if diff := cmp.Diff(after, f.postmasterStarts(t)); diff != "" {
		t.Errorf("it restarts more than once (-before +after):\n%s", diff)
	}
}

// adopt deletes the Cluster and creates it again: the volumes and the term record are still there.
func adopt(t *testing.T, f *fixture) {
	t.Helper()

	members, old := f.memberIDs(t), f.cluster(t)
	password := f.secret(t, naming.SecretApp(f.name))["password"]
	f.deleteCluster(t)
	f.volumesExist(t, 2)

	term := &postgresqlv1.ClusterTerm{}
	if err := f.Client.Get(t.Context(), client.ObjectKey{Namespace: f.namespace, Name: f.name}, term); err != nil {
		t.Errorf("the term record is gone: %v", err)
	}

	f.start(t, f.newCluster(2))

	if diff := cmp.Diff(members, f.memberIDs(t)); diff != "" {
		t.Errorf("other members came back (-before +after):\n%s", diff)
	}

	if got := f.cluster(t).Status.SystemID; got != old.Status.SystemID {
		t.Errorf("the system ID changed from %s to %s", old.Status.SystemID, got)
	}

	f.waitSQL(t, f.replicas(t)[0], "app", "SELECT count(*) FROM t", "201")

	// The Secret went with the Cluster, so there is a new password; the database must know it.
	c := f.newClient(t)
	rw := c.newConnection(t, naming.ServiceReadWrite(f.name))

	if rw["password"] == password {
		t.Logf("the password is the old one")
	}

	c.waitSQL(t, rw, "SELECT count(*) FROM t", "201")
}

// deleteCluster and wait until its pods are gone.
func (f *fixture) deleteCluster(t *testing.T) {
	t.Helper()

	if err := f.Client.Delete(t.Context(), f.cluster(t)); err != nil {
		t.Fatalf("delete cluster: %v", err)
	}

	kube.Eventually(t, readyTimeout, "the pods are gone", func(ctx context.Context) error {
		if err := f.isGone(ctx, &postgresqlv1.Cluster{}, f.name); err != nil {
			return err
		}

		if pods := f.pods(t); len(pods) > 0 {
			return fmt.Errorf("%d pods", len(pods))
		}

		return f.isGone(ctx, &corev1.Secret{}, naming.SecretApp(f.name))
	})
}

func deleteAll(t *testing.T, f *fixture) {
	t.Helper()

	f.change(t, func(cluster *postgresqlv1.Cluster) { cluster.Spec.DeletionPolicy = postgresqlv1.DeletionPolicyDelete })

	kube.Eventually(t, time.Minute, "the volumes belong to the Cluster", func(ctx context.Context) error {
		volume := &corev1.PersistentVolumeClaim{}
		if err := f.Client.Get(ctx, client.ObjectKey{Namespace: f.namespace, Name: "db-0"}, volume); err != nil {
			return err
		}

		if metav1.GetControllerOf(volume) == nil {
			return fmt.Errorf("db-0 has no owner")
		}

		return nil
	})

	f.waitReady(t)
	f.deleteCluster(t)

	kube.Eventually(t, readyTimeout, "volumes and term record are gone", func(ctx context.Context) error {
		var volumes corev1.PersistentVolumeClaimList
		if err := f.Client.List(ctx, &volumes, client.InNamespace(f.namespace)); err != nil {
			return err
		}

		if len(volumes.Items) > 0 {
			return fmt.Errorf("%d volumes", len(volumes.Items))
		}

		return f.isGone(ctx, &postgresqlv1.ClusterTerm{}, f.name)
	})
}
