// Package proof says what is known of a Cluster's backups: which is the newest, and which was restored to prove it. It is
// PURE.
package proof

import (
	"slices"
	"time"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
)

// Of are the Backups of a Cluster, the oldest first.
func Of(cluster string, all []v1.Backup) []v1.Backup {
	var found []v1.Backup

	for _, backup := range all {
		if backup.Spec.Cluster.Name == cluster {
			found = append(found, backup)
		}
	}

	slices.SortStableFunc(found, func(a, b v1.Backup) int { return ended(a).Compare(ended(b)) })

	return found
}

// IsComplete says whether a backup was taken.
func IsComplete(backup *v1.Backup) bool {
	return backup.Status.StoppedAt != nil && backup.Status.BackupID != "" && backup.Status.Error == ""
}

// IsFailed says whether a backup was given up.
func IsFailed(backup *v1.Backup) bool {
	return backup.Status.StoppedAt != nil && backup.Status.Error != ""
}

// Newest complete backup of a Cluster; nil if there is none.
func Newest(cluster string, all []v1.Backup) *v1.Backup {
	return newest(Of(cluster, all), IsComplete)
}

// NewestVerified is the newest backup of a Cluster that was restored with success, and is not being deleted; nil if there is
// none.
func NewestVerified(cluster string, all []v1.Backup) *v1.Backup {
	return newest(Of(cluster, all), func(backup *v1.Backup) bool {
		return IsComplete(backup) && backup.DeletionTimestamp == nil && isProved(backup)
	})
}

// isProved: the last drill with it succeeded.
func isProved(backup *v1.Backup) bool {
	drill := backup.Status.Drill

	return drill != nil && drill.Succeeded && drill.StoppedAt != nil
}

// HasVerifiedWithin answers whether a Cluster has a verified backup that was taken at most age ago: what is to be asked before
// something is done that cannot be undone.
func HasVerifiedWithin(cluster string, all []v1.Backup, now time.Time, age time.Duration) bool {
	verified := NewestVerified(cluster, all)

	return verified != nil && now.Sub(verified.Status.StoppedAt.Time) <= age
}

// LastDrill is the newest drill of a Cluster that has ended; nil if there was none.
func LastDrill(cluster string, all []v1.Backup) *v1.DrillStatus {
	var last *v1.DrillStatus

	for _, backup := range Of(cluster, all) {
		drill := backup.Status.Drill
		if drill == nil || drill.StoppedAt == nil {
			continue
		}

		if last == nil || last.StoppedAt.Before(drill.StoppedAt) {
			last = drill.DeepCopy()
			last.Backup = backup.Name
		}
	}

	return last
}

// RecoveryTime estimates how long it takes until a Cluster is back from its newest backup (the recovery time objective, RTO):
// what the last drill that succeeded took for so much data, and for the WAL. False if nothing was measured yet.
func RecoveryTime(cluster string, all []v1.Backup) (time.Duration, bool) {
	target := Newest(cluster, all)

	var drill *v1.DrillStatus

	for _, backup := range Of(cluster, all) {
		if isProved(&backup) && (drill == nil || drill.StoppedAt.Before(backup.Status.Drill.StoppedAt)) {
			drill = backup.Status.Drill
		}
	}

	if target == nil || drill == nil {
		return 0, false
	}

	restore := float64(drill.RestoreSeconds)
	if size := target.Status.DataBytes; size != nil && drill.RestoredBytes > 0 {
		restore *= float64(size.Value()) / float64(drill.RestoredBytes)
	}

	// What took less than a second was measured as none.
	return time.Duration(max(1, restore+float64(drill.ReplaySeconds))) * time.Second, true
}

func newest(backups []v1.Backup, wanted func(*v1.Backup) bool) *v1.Backup {
	for i := range slices.Backward(backups) {
		if wanted(&backups[i]) {
			return &backups[i]
		}
	}

	return nil
}

func ended(backup v1.Backup) time.Time {
	if backup.Status.StoppedAt == nil {
		return backup.CreationTimestamp.Time
	}

	return backup.Status.StoppedAt.Time
}
