package e2e

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/controller-runtime/pkg/client"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/test/internal/kube"
)

// TestScale changes the number of instances and the size of volumes.
func TestScale(t *testing.T) {
	t.Parallel()

	f := newFixture(t, "scale")
	f.start(t, f.newCluster(1, func(spec *postgresqlv1.ClusterSpec) {
		spec.Storage.Size = "400Mi"
		if f.environment.expandableClass != "" {
			spec.Storage.StorageClass = &f.environment.expandableClass
		}
	}))

	f.sql(t, f.primary(t), "app", "CREATE TABLE t AS SELECT generate_series(1, 1000) AS id")

	step(t, f, "one instance has no disruption budget", noBudget)
	step(t, f, "1 → 3, by the scale subresource", scaleUp)
	step(t, f, "3 → 2", scaleDown)
	step(t, f, "storage grows", growStorage)
}

func noBudget(t *testing.T, f *fixture) {
	t.Helper()
	kube.Eventually(t, readyTimeout, "there is none", func(ctx context.Context) error {
		return f.isGone(ctx, &policyv1.PodDisruptionBudget{}, naming.PodDisruptionBudget(f.name))
	})
}

func scaleUp(t *testing.T, f *fixture) {
	t.Helper()

	starts := f.postmasterStarts(t)
	scale := &autoscalingv1.Scale{Spec: autoscalingv1.ScaleSpec{Replicas: 3}}

	if err := f.Client.SubResource("scale").Update(t.Context(), f.cluster(t), client.WithSubResourceBody(scale)); err != nil {
		t.Fatalf("scale: %v", err)
	}

	f.waitReady(t)

	primary := f.primary(t)
	if got := f.postmasterStarts(t)[primary]; got != starts[primary] {
		t.Errorf("the primary was restarted to scale up")
	}

	for _, replica := range f.replicas(t) {
		f.waitSQL(t, replica, "app", "SELECT count(*) FROM t", "1000")
	}

	budget := &policyv1.PodDisruptionBudget{}
	if err := f.Client.Get(t.Context(), client.ObjectKey{Namespace: f.namespace, Name: naming.PodDisruptionBudget(f.name)}, budget); err != nil {
		t.Errorf("no disruption budget for three instances: %v", err)
	}

	nodes := map[string]bool{}
	for _, pod := range f.pods(t) {
		nodes[pod.Spec.NodeName] = true
	}

	if len(nodes) < 2 {
		t.Errorf("all three instances run on one node")
	}
}

func scaleDown(t *testing.T, f *fixture) {
	t.Helper()

	before := f.postmasterStarts(t)
	f.change(t, func(cluster *postgresqlv1.Cluster) { cluster.Spec.Instances = 2 })
	f.waitReady(t)

	if diff := cmp.Diff([]string{"db-0", "db-1"}, f.instances(t)); diff != "" {
		t.Errorf("the members are others than expected (-want +got):\n%s", diff)
	}

	kube.Eventually(t, readyTimeout, "pod and volume of db-2 are gone", func(ctx context.Context) error {
		if err := f.isGone(ctx, &corev1.Pod{}, "db-2"); err != nil {
			return err
		}

		return f.isGone(ctx, &corev1.PersistentVolumeClaim{}, "db-2")
	})

	for instance, start := range f.postmasterStarts(t) {
		if start != before[instance] {
			t.Errorf("%s was restarted to scale down", instance)
		}
	}

	// A slot that nobody uses would keep WAL until the volume is full.
	f.waitSQL(t, f.primary(t), "postgres", "SELECT count(*) FROM pg_replication_slots", "1")
}

// growStorage asks the file system itself: a claim's status is only what somebody wrote.
func growStorage(t *testing.T, f *fixture) {
	t.Helper()

	const larger = "800Mi"

	class := f.cluster(t).Spec.Storage.StorageClass
	if class == nil || *class == "" {
		t.Skip("no storage class is named that can grow")
	}

	starts := f.postmasterStarts(t)
	f.change(t, func(cluster *postgresqlv1.Cluster) { cluster.Spec.Storage.Size = larger })

	want := resource.MustParse(larger)

	for _, instance := range f.instances(t) {
		kube.Eventually(t, readyTimeout, "the file system of "+instance+" has grown", func(ctx context.Context) error {
			out, err := f.Exec(ctx, f.container(instance), "df", "--output=size", "--block-size=1", "/var/lib/postgresql/data")
			if err != nil {
				return err
			}

			fields := strings.Fields(out)

			size, err := strconv.ParseInt(fields[len(fields)-1], 10, 64)
			if err != nil {
				return err
			}

			// A file system needs some of its volume for itself.
			if size < want.Value()*85/100 || size > want.Value()*11/10 {
				return fmt.Errorf("it has %d MiB", size>>20)
			}

			return nil
		})
	}

	f.waitReady(t)

	if diff := cmp.Diff(starts, f.postmasterStarts(t)); diff != "" {
		t.Errorf("PostgreSQL was restarted to grow (-before +after):\n%s", diff)
	}
}
