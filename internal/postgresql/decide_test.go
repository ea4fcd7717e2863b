package postgresql

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	databasev1 "github.com/caretaker-dev/caretaker/api/database/v1"
	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/apply/diff"
	"github.com/caretaker-dev/caretaker/internal/apply/owned"
	"github.com/caretaker-dev/caretaker/internal/postgresql/shortform"
)

// ready is a view whose Cluster is as asked for, and ready.
func ready(t *testing.T, change func(*View)) View {
	t.Helper()

	v := View{
		Object: &databasev1.PostgreSQL{
			ObjectMeta: metav1.ObjectMeta{Name: "db", Namespace: "shop", UID: "1", Generation: 1},
			Spec: databasev1.PostgreSQLSpec{
				Version: "17", Storage: "1Gi", DeletionPolicy: databasev1.DeletionPolicyRetain,
				Backup: &databasev1.BackupSpec{Enabled: true, Schedule: "0 2 * * *", Retention: "30d"},
			},
		},
		Defaults: Defaults{
			Defaults:    shortform.Defaults{Images: map[string]string{"17": "postgres:17"}},
			Destination: &databasev1.BackupDestination{Bucket: "backups", Prefix: "prod", SecretName: "s3"},
		},
		ScheduledBackups: true,
	}
	change(&v)

	return v
}

func TestBackup(t *testing.T) {
	t.Parallel()

	isReady := func(v *View) {
		v.Cluster = &postgresqlv1.Cluster{ObjectMeta: v.owner().Meta("db"), Status: postgresqlv1.ClusterStatus{
			Conditions: []metav1.Condition{{Type: "Ready", Status: metav1.ConditionTrue, Reason: "Ready"}},
		}}
		v.Cluster.Spec = postgresqlv1.ClusterSpec{
			Instances: 1, ImageName: "postgres:17", Storage: postgresqlv1.StorageConfiguration{Size: "1Gi"},
			DeletionPolicy: postgresqlv1.DeletionPolicyRetain,
		}
		if destination, _ := v.backup(); destination != nil {
			v.Cluster.Spec.Backup = objectStore(destination, "30d")
		}
		// As if it had been applied: the hash is not what this is about.
		for range 2 {
			for _, change := range Decide(*v).Changes {
				if strings.HasSuffix(change.String(), "Cluster db") {
					v.Cluster.Annotations = appliedHash(change)
				}
			}
		}
	}

	told := func(condition, reason, message string) func(*View) {
		return func(v *View) {
			isReady(v)
			v.Cluster.Status.Conditions = append(v.Cluster.Status.Conditions,
				metav1.Condition{Type: condition, Status: metav1.ConditionFalse, Reason: reason, Message: message})
		}
	}

	for name, tc := range map[string]struct {
		change  func(*View)
		reason  string
		message string
		changes string
	}{
		"not yet ready": {change: func(*View) {}, reason: databasev1.ReasonWaitingForDatabase, changes: "create Cluster db"},
		"ready":         {change: isReady, reason: databasev1.ReasonScheduled, message: "0 2 * * *, to s3://backups/prod/shop/db", changes: "create ScheduledBackup db"},
		"WAL does not get there": {
			change: told(postgresqlv1.ConditionContinuousArchiving, postgresqlv1.ReasonArchivingFailed, "no such bucket"),
			reason: postgresqlv1.ReasonArchivingFailed, message: "Cluster db: no such bucket", changes: "create ScheduledBackup db",
		},
		"archiving has just begun": {
			change: told(postgresqlv1.ConditionContinuousArchiving, postgresqlv1.ReasonArchivingStarting, "starting"),
			reason: databasev1.ReasonScheduled, changes: "create ScheduledBackup db",
		},
		"the newest is too old": {
			change: told(postgresqlv1.ConditionBackedUp, postgresqlv1.ReasonBackupTooOld, "of last week"),
			reason: postgresqlv1.ReasonBackupTooOld, message: "Cluster db: of last week", changes: "create ScheduledBackup db",
		},
		"the first is to be taken": {
			change: told(postgresqlv1.ConditionBackedUp, postgresqlv1.ReasonNoBackup, "none"),
			reason: databasev1.ReasonScheduled, changes: "create ScheduledBackup db",
		},
		"nowhere to put them": {change: func(v *View) { v.Defaults.Destination = nil }, reason: databasev1.ReasonDestinationMissing, message: "database.backup.destination", changes: "create Cluster db"},
		"no such kind":        {change: func(v *View) { v.ScheduledBackups = false }, reason: databasev1.ReasonFeatureNotAvailable, changes: "create Cluster db"},
		"switched off":        {change: func(v *View) { v.Object.Spec.Backup.Enabled = false }, changes: "create Cluster db"},
		"a destination of own": {change: func(v *View) {
			v.Object.Spec.Backup.Destination = &databasev1.BackupDestination{Bucket: "mine"}
			isReady(v)
		}, reason: databasev1.ReasonScheduled, message: "s3://mine/shop/db", changes: "create ScheduledBackup db"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			plan := Decide(ready(t, tc.change))

			var changes []string
			for _, change := range plan.Changes {
				changes = append(changes, change.String())
			}

			if got := strings.Join(changes, ", "); got != tc.changes {
				t.Errorf("changes: %q, want %q", got, tc.changes)
			}

			if plan.Backup.Reason != tc.reason || !strings.Contains(plan.Backup.Message, tc.message) || plan.Backup.Scheduled != (tc.reason == databasev1.ReasonScheduled) {
				t.Errorf("condition %+v, want %s: %s", plan.Backup, tc.reason, tc.message)
			}
		})
	}
}

// appliedHash is the annotation that an object is applied with.
func appliedHash(change owned.Change) map[string]string {
	if apply, ok := change.(owned.Apply); ok {
		return map[string]string{diff.Annotation: apply.Object.GetAnnotations()[diff.Annotation]}
	}

	return nil
}
