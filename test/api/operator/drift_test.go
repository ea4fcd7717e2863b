package operator

import (
	"context"
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	databasev1 "github.com/caretaker-dev/caretaker/api/database/v1"
	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/postgresql"
	"github.com/caretaker-dev/caretaker/internal/postgresql/shortform"
)

// TestScheduledBackupOfAPostgreSQLIsPutRight: what somebody changes in it, or deletes, comes back without anything else happening.
func TestScheduledBackupOfAPostgreSQLIsPutRight(t *testing.T) {
	server := suite.Server(t)
	namespace := server.Namespace(t)
	c := server.Client
	in := metav1.ObjectMeta{Namespace: namespace, Name: "shop"}

	object := &databasev1.PostgreSQL{ObjectMeta: in, Spec: databasev1.PostgreSQLSpec{
		Version: "17", Storage: "1Gi",
		Backup: &databasev1.BackupSpec{
			Enabled: true, Schedule: "0 2 * * *",
			Destination: &databasev1.BackupDestination{Bucket: "backups", SecretName: "backups-s3"},
		},
	}}
	if err := c.Create(t.Context(), object); err != nil {
		t.Fatal(err)
	}

	server.RunManager(t, namespace, func(manager ctrl.Manager) error {
		return postgresql.SetupWithManager(manager, postgresql.Options{
			Defaults: postgresql.Defaults{Defaults: shortform.Defaults{Version: "17", Images: map[string]string{"17": "postgres:17"}}},
			Clock:    clock.RealClock{}, Recorder: manager.GetEventRecorder("test"),
		})
	})

	eventually(t, time.Minute, "the Cluster should be made", func() error { return turnReady(t.Context(), c, in) })

	schedule := &postgresqlv1.ScheduledBackup{ObjectMeta: in}
	right := func(not types.UID) func() error {
		return func() error {
			live := &postgresqlv1.ScheduledBackup{}
			if err := c.Get(t.Context(), client.ObjectKeyFromObject(schedule), live); err != nil {
				return err
			}

			if live.Spec.Schedule != "0 2 * * *" || live.UID == not {
				return fmt.Errorf("the schedule is %q", live.Spec.Schedule)
			}

			live.DeepCopyInto(schedule)

			return nil
		}
	}

	eventually(t, time.Minute, "the ScheduledBackup should be made", right(""))
	eventually(t, time.Minute, "the PostgreSQL should say so", func() error {
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(object), object); err != nil || object.Status.ScheduledBackup == "" {
			return fmt.Errorf("status %+v: %w", object.Status, err)
		}

		return nil
	})

	if err := c.Patch(t.Context(), schedule, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"schedule":"0 3 * * *"}}`))); err != nil {
		t.Fatal(err)
	}

	eventually(t, time.Minute, "the schedule should be put right", right(""))

	if err := c.Delete(t.Context(), schedule); err != nil {
		t.Fatal(err)
	}

	eventually(t, time.Minute, "the ScheduledBackup should be made again", right(schedule.UID))
}

// turnReady is the Cluster controller, which does not run here.
func turnReady(ctx context.Context, c client.Client, in metav1.ObjectMeta) error {
	cluster := &postgresqlv1.Cluster{ObjectMeta: in}
	if err := c.Get(ctx, client.ObjectKeyFromObject(cluster), cluster); err != nil {
		return err
	}

	cluster.Status = postgresqlv1.ClusterStatus{
		ObservedGeneration: cluster.Generation, Instances: 1, ReadyInstances: 1, Primary: "shop-0", Major: 17, Version: "17.5", SystemID: "7",
		Conditions: []metav1.Condition{{
			Type: postgresqlv1.ConditionReady, Status: metav1.ConditionTrue, Reason: "Ready", Message: "ready", LastTransitionTime: metav1.Unix(1, 0),
		}},
	}

	return c.Status().Update(ctx, cluster)
}
