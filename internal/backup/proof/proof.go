// Package proof says what is known of a Cluster's backups: which is the newest, and which was restored to prove it. It is
// PURE.
package proof

import (
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/cluster/build"
)

// Of are the Backups of a Cluster, the oldest first.
func Of(cluster *v1.Cluster, all []v1.Backup) []v1.Backup {
	return slices.DeleteFunc(Named(cluster.Name, all), func(backup v1.Backup) bool { return !isOf(cluster, &backup) })
}

// isOf tells a Backup of a Cluster from those that an earlier one of its name has left: they are in another archive, or of other data. A
// Backup that does not say where it is (it has not begun, or is of an older release) has nothing but the name, and nor has one
// of a Cluster that has no archive any more.
func isOf(cluster *v1.Cluster, backup *v1.Backup) bool {
	if of, is := backup.Status.SystemID, cluster.Status.SystemID; of != "" && is != "" && of != is {
		return false
	}

	return !build.IsElsewhere(cluster, backup)
}

// Named are the Backups of all Clusters that have, or had, a name, the oldest first.
func Named(cluster string, all []v1.Backup) []v1.Backup {
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

// IsStored says whether a backup was taken, and is still there.
func IsStored(backup *v1.Backup) bool {
	return IsComplete(backup) && backup.Status.Expired == nil
}

// IsInArchive says whether a backup is there, with all of its files in the archive: a recovery that names none finds it.
func IsInArchive(backup *v1.Backup) bool {
	return IsStored(backup) && backup.Status.Method != v1.BackupMethodVolumeSnapshot
}

// ExpiredWords say what became of a backup that is there no more, and what to do.
func ExpiredWords(expired v1.BackupExpired) string {
	words := fmt.Sprintf("it is no longer in the store, at the latest since retentionPolicy %s was followed at %s", expired.Policy, expired.At.UTC().Format(time.RFC3339))
	if first := expired.FirstRecoverabilityPoint; first != nil {
		words += fmt.Sprintf("; the earliest moment to recover to was %s then", first.UTC().Format(time.RFC3339))
	}

	return words + "; choose a Backup that is Restorable (kubectl get backups)"
}

// FirstRecoverable is the earliest moment to recover to, which is the end of the oldest backup that is there; nil if there is none.
func FirstRecoverable(cluster *v1.Cluster, all []v1.Backup) *metav1.Time {
	for _, backup := range Of(cluster, all) {
		if IsStored(&backup) && backup.DeletionTimestamp == nil {
			return backup.Status.StoppedAt
		}
	}

	return nil
}

// NewestStored is the newest backup of a Cluster that can be recovered from, files or snapshot; nil if there is none.
func NewestStored(cluster *v1.Cluster, all []v1.Backup) *v1.Backup {
	return newest(Of(cluster, all), func(backup *v1.Backup) bool { return IsStored(backup) && backup.DeletionTimestamp == nil })
}

// IsFailed says whether a backup was given up.
func IsFailed(backup *v1.Backup) bool {
	return backup.Status.StoppedAt != nil && backup.Status.Error != ""
}

// Newest backup of a Cluster that is in the archive; nil if there is none. Snapshots of volumes are not drilled with.
func Newest(cluster *v1.Cluster, all []v1.Backup) *v1.Backup {
	return newest(Of(cluster, all), IsInArchive)
}

// NewestVerified is the newest backup of a Cluster that was restored with success, and is not being deleted; nil if there is
// none.
func NewestVerified(cluster *v1.Cluster, all []v1.Backup) *v1.Backup {
	return newest(Of(cluster, all), func(backup *v1.Backup) bool {
		return IsStored(backup) && backup.DeletionTimestamp == nil && isProved(backup)
	})
}

// isProved: the last drill with it succeeded.
func isProved(backup *v1.Backup) bool {
	drill := backup.Status.Drill

	return drill != nil && drill.Succeeded && drill.StoppedAt != nil
}

// HasVerifiedWithin answers whether a Cluster has a verified backup that was taken at most age ago: what is to be asked before
// something is done that cannot be undone.
func HasVerifiedWithin(cluster *v1.Cluster, all []v1.Backup, now time.Time, age time.Duration) bool {
	verified := NewestVerified(cluster, all)

	return verified != nil && now.Sub(verified.Status.StoppedAt.Time) <= age
}

// LastDrill is the newest drill of a Cluster that has ended; nil if there was none.
func LastDrill(cluster *v1.Cluster, all []v1.Backup) *v1.DrillStatus {
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
func RecoveryTime(cluster *v1.Cluster, all []v1.Backup) (time.Duration, bool) {
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
