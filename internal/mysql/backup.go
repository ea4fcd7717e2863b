package mysql

import (
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	backupv1 "github.com/caretaker-dev/caretaker/api/backup/v1"
	databasev1 "github.com/caretaker-dev/caretaker/api/database/v1"
	"github.com/caretaker-dev/caretaker/internal/apply/owned"
	"github.com/caretaker-dev/caretaker/internal/conditions"
	"github.com/caretaker-dev/caretaker/internal/dump/decide"
	"github.com/caretaker-dev/caretaker/internal/postgresql/shortform"
)

// Backup is what becomes of spec.backup.
type Backup struct {
	// Changes of the Backup that takes the dumps. They are made apart from the database's own: what is wrong with its dumps
	// does not stop a database.
	Changes []owned.Change
	// Condition to tell.
	Condition shortform.BackupCondition
	// Verified is the condition BackupVerified; nil for none.
	Verified *metav1.Condition
}

// backup makes a Backup of the database's name once the database is ready: there is nothing to dump before. It goes when
// backups are switched off, the dumps stay; a database that is not ready for a moment keeps it.
func (v View) backup(outcome conditions.Outcome) Backup {
	backup := v.taken(outcome)
	backup.Verified = v.verified()

	return backup
}

func (v View) taken(outcome conditions.Outcome) Backup {
	live := owned.Objects{}
	if v.Dumps != nil {
		live[owned.Key{Kind: "Backup", Name: v.Dumps.Name}] = v.Dumps
	}

	spec := v.Object.Spec.Backup
	if spec == nil || !spec.Enabled {
		return Backup{Changes: owned.Changes(nil, live, nil)}
	}

	destination := shortform.Destination(v.Object, spec, v.Defaults.Destination)

	switch {
	case destination == nil:
		return Backup{Changes: owned.Changes(nil, live, nil), Condition: shortform.NoDestination()}
	case v.Dumps == nil && outcome.Kind != conditions.Done:
		return Backup{Condition: shortform.BackupCondition{
			Reason: databasev1.ReasonWaitingForDatabase, Message: "the first dump waits for the database to be ready",
		}}
	}

	return Backup{
		Changes:   owned.Changes([]owned.Object{v.dumps(destination)}, live, nil),
		Condition: v.scheduled(destination),
	}
}

// dumps is the Backup as it should be.
func (v View) dumps(destination *databasev1.BackupDestination) *backupv1.Backup {
	spec := v.Object.Spec.Backup

	return &backupv1.Backup{
		TypeMeta:   metav1.TypeMeta{APIVersion: backupv1.GroupVersion.String(), Kind: "Backup"},
		ObjectMeta: v.owner().Meta(v.Object.Name),
		Spec: backupv1.BackupSpec{
			Source: backupv1.BackupSource{
				Type:       backupv1.SourceMySQL,
				Connection: backupv1.SourceConnection{ClusterRef: &backupv1.ClusterReference{Name: v.Object.Name}},
			},
			Destination: backupv1.BackupDestination{
				Type: backupv1.DestinationS3, Bucket: destination.Bucket, Prefix: destination.Prefix,
				Endpoint: destination.Endpoint, SecretName: destination.SecretName,
			},
			Schedule: spec.Schedule, Retention: spec.Retention, Immediate: true, Verification: spec.Verification.DeepCopy(),
		},
	}
}

// scheduled is the condition where a Backup is there or about to be; what is in the way of its dumps is told here.
func (v View) scheduled(destination *databasev1.BackupDestination) shortform.BackupCondition {
	if v.Dumps != nil {
		if stalled := meta.FindStatusCondition(v.Dumps.Status.Conditions, conditions.TypeStalled); stalled != nil && stalled.Status == metav1.ConditionTrue {
			return v.inTheWay(stalled.Reason, stalled.Message)
		}

		// Until one succeeds again, also while the next is being taken.
		if failed := decide.LastFailed(v.Dumps.Status); failed != nil {
			return v.inTheWay(backupv1.ReasonDumpFailed, fmt.Sprintf("the last dump failed at %s: %s", failed.Time.UTC().Format(time.RFC3339), failed.Message))
		}
	}

	return shortform.Scheduled(v.Object.Spec.Backup, destination)
}

func (v View) inTheWay(reason, message string) shortform.BackupCondition {
	return shortform.BackupCondition{Reason: reason, Message: "Backup " + v.Dumps.Name + " (kubectl describe dump): " + ownFields(message)}
}

// verified is what the Backup says of its test restores; nil where none are asked for.
func (v View) verified() *metav1.Condition {
	spec := v.Object.Spec.Backup
	if spec == nil || !spec.Enabled || spec.Verification == nil || !spec.Verification.TestRestore {
		return nil
	}

	if v.Dumps != nil {
		if told := meta.FindStatusCondition(v.Dumps.Status.Conditions, backupv1.ConditionVerified); told != nil {
			return &metav1.Condition{Status: told.Status, Reason: told.Reason, Message: ownFields(told.Message)}
		}
	}

	return &metav1.Condition{Status: metav1.ConditionUnknown, Reason: backupv1.ReasonNotVerified, Message: "no dump was restored to prove it yet"}
}

// ownFields names fields of the Backup as the MySQL has them: what is changed in the Backup is put right.
func ownFields(message string) string {
	return strings.NewReplacer(
		"spec.destination", "spec.backup.destination", "spec.schedule", "spec.backup.schedule", "spec.retention", "spec.backup.retention",
		"spec.verification", "spec.backup.verification",
	).Replace(message)
}
