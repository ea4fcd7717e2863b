package shortform

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	databasev1 "github.com/caretaker-dev/caretaker/api/database/v1"
	"github.com/caretaker-dev/caretaker/internal/conditions"
)

// BackupCondition is the condition BackupScheduled of a database; absent while Reason is empty.
type BackupCondition struct {
	Scheduled       bool
	Reason, Message string
}

// Scheduled says when backups are taken, and where they go.
func Scheduled(backup *databasev1.BackupSpec, destination *databasev1.BackupDestination) BackupCondition {
	return BackupCondition{Scheduled: true, Reason: databasev1.ReasonScheduled, Message: backup.Schedule + ", to " + URL(destination)}
}

// NoDestination says what to do where Destination finds none.
func NoDestination() BackupCondition {
	return BackupCondition{
		Reason: databasev1.ReasonDestinationMissing, Message: "spec.backup.destination: backups are enabled, but there is nowhere to put them; " +
			"set it to a bucket, or the chart's value database.backup.destination for all databases",
	}
}

// Write the condition.
func (c BackupCondition) Write(writer conditions.Writer) {
	if c.Reason == "" {
		writer.Remove(databasev1.ConditionBackup)

		return
	}

	status := metav1.ConditionFalse
	if c.Scheduled {
		status = metav1.ConditionTrue
	}

	writer.Set(databasev1.ConditionBackup, status, c.Reason, c.Message)
}

// Destination is where the backups of a database go that has them enabled: to the one that it names, or to the operator's,
// which may be nil, below which each database has a prefix of its own. Nil if there is neither.
func Destination(owner metav1.Object, backup *databasev1.BackupSpec, fallback *databasev1.BackupDestination) *databasev1.BackupDestination {
	own := owner.GetNamespace() + "/" + owner.GetName()

	if given := backup.Destination; given != nil {
		destination := *given
		if destination.Prefix == "" {
			destination.Prefix = own
		}

		return &destination
	}

	if fallback == nil || fallback.Bucket == "" {
		return nil
	}

	destination := *fallback
	destination.Prefix = strings.Trim(destination.Prefix+"/"+own, "/")

	return &destination
}

// URL of a destination, such as s3://bucket/prefix.
func URL(destination *databasev1.BackupDestination) string {
	return "s3://" + destination.Bucket + "/" + strings.Trim(destination.Prefix, "/")
}
