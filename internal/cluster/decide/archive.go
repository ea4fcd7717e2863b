package decide

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/backup/proof"
	"github.com/caretaker-dev/caretaker/internal/cluster/build"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/internal/postgres"
	"github.com/caretaker-dev/caretaker/internal/schedule"
)

// What the status says of the archive and of backups:
//
//	archiving   as the primary tells it. A segment that arrives is no news: the moment is written once a minute
//	backups     from the Backup objects of this Cluster; a proof is a drill that succeeded. How old they may be is said by its
//	            ScheduledBackups
//	copies      as the primary tells, in copies.go
//	recovery    from the first instance, while it makes the data; kept afterwards
//
// What cannot be found out at the moment stays as last seen.

// archivedEvery is how often a newer segment is written into the status while everything goes well.
const archivedEvery = time.Minute

func (p *planner) archivingStatus() *v1.ArchivingStatus {
	last := p.Cluster.Status.Archiving

	if _, ok := build.OwnPlace(p.Cluster); !ok {
		return nil
	}

	report := p.states[p.primary].report
	if report == nil || report.Archiving == nil {
		return last
	}

	seen := report.Archiving
	status := &v1.ArchivingStatus{
		ServerName: seen.Server, LastArchivedWAL: seen.LastWAL, LastArchivedTime: metaTime(seen.LastTime),
	}

	switch {
	case seen.FailingSince != nil:
		status.LastFailure = &v1.ArchiveFailure{WAL: seen.FailedWAL, Since: *metaTime(seen.FailingSince), Reason: seen.Failure}
	case last != nil:
		status.LastFailure = last.LastFailure
	}

	if last == nil {
		return status
	}

	if status.LastArchivedWAL == "" {
		// A primary that has just begun knows of none.
		status.LastArchivedWAL, status.LastArchivedTime = last.LastArchivedWAL, last.LastArchivedTime
	}

	sameFailure := (status.LastFailure == nil) == (last.LastFailure == nil) &&
		(status.LastFailure == nil || status.LastFailure.Since.Equal(&last.LastFailure.Since) && inWords(status.LastFailure.Reason) == inWords(last.LastFailure.Reason))
	if sameFailure {
		status.LastFailure = last.LastFailure
	}

	if sameFailure && last.ServerName == status.ServerName && last.LastArchivedTime != nil && status.LastArchivedTime != nil &&
		status.LastArchivedTime.Sub(last.LastArchivedTime.Time) < archivedEvery {
		return last
	}

	return status
}

// inWords leaves out the numbers of a message: ports, request IDs and durations are others each time, and no news.
func inWords(message string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}

		return r
	}, message)
}

func metaTime(t *time.Time) *metav1.Time {
	if t == nil {
		return nil
	}

	rounded := metav1.NewTime(t.Truncate(time.Second))

	return &rounded
}

func (p *planner) archiving() Feature {
	feature := Feature{Type: v1.ConditionContinuousArchiving}

	backup := p.Cluster.Spec.Backup
	if backup == nil {
		return feature
	}

	place, ok := build.OwnPlace(p.Cluster)

	switch {
	case !ok && backup.Store() == nil:
		feature.Reason, feature.Message = v1.ReasonBackupNotConfigured, "spec.backup names no object store; set objectStore"

		return feature
	case !ok:
		feature.Reason, feature.Message = v1.ReasonBackupDestinationEmpty, place.Field+".destinationPath is empty; set it, such as s3://bucket/path"

		return feature
	}

	report := p.states[p.primary].report

	switch {
	case report == nil || report.Archiving == nil || p.hasJustBegunToArchive(report.Archiving):
		return p.lastArchiving(feature)
	case report.Archiving.FailingSince != nil && report.Archiving.Missing != "":
		feature.Reason = v1.ReasonWALMissing
		feature.Message = fmt.Sprintf("WAL is missing in the archive: %s; what was written since is archived, but no backup from before leads there: "+
			"take a Backup now. Moments before the gap can be recovered to as before", report.Archiving.Missing)
	case report.Archiving.FailingSince != nil:
		feature.Reason = v1.ReasonArchivingFailed
		feature.Message = fmt.Sprintf("WAL has not reached the archive since %s: %s; PostgreSQL goes on and keeps its WAL until it has; check %s, its Secret and the store",
			report.Archiving.FailingSince.UTC().Format(time.RFC3339), p.archivingStatus().LastFailure.Reason, place.Field)
	case report.Archiving.LastWAL == "" && (p.Cluster.Status.Archiving == nil || p.Cluster.Status.Archiving.LastArchivedWAL == ""):
		feature.Reason, feature.Message = v1.ReasonArchivingStarting, "no WAL has been archived yet; the first segment is due within a minute of the first change"
	default:
		feature.True, feature.Reason = true, v1.ReasonArchiving
		feature.Message = "WAL is archived to " + p.placeName(place)
	}

	return feature
}

// hasJustBegunToArchive: the primary has not heard from the store yet, and what waits was waiting for another one, or for the one that it
// was before.
func (p *planner) hasJustBegunToArchive(seen *instanceapi.Archiving) bool {
	last := meta.FindStatusCondition(p.Cluster.Status.Conditions, v1.ConditionContinuousArchiving)
	hasFailed := last != nil && (last.Reason == v1.ReasonArchivingFailed || last.Reason == v1.ReasonWALMissing)

	return hasFailed && seen.FailingSince == nil && seen.LastWAL == "" && seen.Waiting > 0
}

func (p *planner) placeName(place build.Place) string {
	archive := place.Archive("", "")
	if place.Volume != nil {
		archive.URL = "the volume " + place.Volume.PersistentVolumeClaim.ClaimName
	}

	return archive.URL + ", folder " + archive.Server
}

// lastArchiving is what was last known, while the primary cannot be asked.
func (p *planner) lastArchiving(feature Feature) Feature {
	last := meta.FindStatusCondition(p.Cluster.Status.Conditions, feature.Type)
	if last == nil || last.Reason == v1.ReasonFeatureNotAvailable {
		feature.Reason, feature.Message = v1.ReasonArchivingStarting, "the primary has not said yet how archiving goes"

		return feature
	}

	feature.True, feature.Reason, feature.Message = last.Status == metav1.ConditionTrue, last.Reason, last.Message

	return feature
}

func (p *planner) backupsStatus() *v1.BackupsStatus {
	status := v1.BackupsStatus{
		LastDrill: proof.LastDrill(p.Cluster, p.Backups), FirstRecoverabilityPoint: proof.FirstRecoverable(p.Cluster, p.Backups),
	}

	for _, backup := range proof.Of(p.Cluster, p.Backups) {
		stopped := backup.Status.StoppedAt

		switch {
		case proof.IsComplete(&backup):
			status.LastSuccessfulBackup, status.LastSuccessfulBackupName = stopped, backup.Name
		case proof.IsFailed(&backup):
			status.LastFailedBackup = stopped
		}

		if drill := backup.Status.Drill; drill != nil && drill.Succeeded && (status.LastVerified == nil || status.LastVerified.Before(drill.StoppedAt)) {
			status.LastVerified = drill.StoppedAt
		}
	}

	if estimated, ok := proof.RecoveryTime(p.Cluster, p.Backups); ok {
		status.EstimatedRecoverySeconds = int64(estimated / time.Second)
	}

	status.FreshUntil = p.freshUntil()
	status.Copies = p.copiesStatus()

	if reflect.ValueOf(status).IsZero() {
		return nil
	}

	return &status
}

// freshUntil is when the newest backup is too old, by the schedule that is due most often. That one backup is late, or fails once,
// is not the end of the protection; that the next one is due as well is.
func (p *planner) freshUntil() *metav1.Time {
	newest := proof.NewestStored(p.Cluster, p.Backups)
	if newest == nil {
		return nil
	}

	var first time.Time

	for i := range p.Schedules {
		spec := p.Schedules[i].Spec

		parsed, err := schedule.Parse(spec.Schedule, spec.TimeZone)
		if err != nil || spec.Suspend != nil && *spec.Suspend {
			continue // its own status says so
		}

		second := parsed.Next(parsed.Next(newest.Status.StoppedAt.Time))
		if first.IsZero() || second.Before(first) {
			first = second
		}
	}

	if first.IsZero() {
		return nil
	}

	return metaTime(&first)
}

// backedUp says whether there is a backup, and whether it is new enough.
func (p *planner) backedUp() Feature {
	feature := Feature{Type: v1.ConditionBackedUp}
	if _, ok := build.OwnPlace(p.Cluster); !ok {
		return feature
	}

	newest := proof.NewestStored(p.Cluster, p.Backups)
	until := p.freshUntil()

	switch {
	case newest == nil:
		feature.Reason = v1.ReasonNoBackup
		feature.Message = "there is no Backup that could be restored, and WAL is of no use without one; make a Backup, and a ScheduledBackup for the next ones"
	case until != nil && !p.Now.Before(until.Time):
		feature.Reason = v1.ReasonBackupTooOld
		feature.Message = fmt.Sprintf("the newest Backup, %s, is of %s, and more than one was due since; see why: kubectl get scheduledbackups,backups",
			newest.Name, utc(*newest.Status.StoppedAt))
	default:
		feature.True, feature.Reason = true, v1.ReasonBackedUp
		feature.Message = fmt.Sprintf("the newest Backup, %s, is of %s", newest.Name, utc(*newest.Status.StoppedAt))

		if until == nil {
			feature.Message += "; no ScheduledBackup takes the next one"
		}
	}

	return feature
}

// unprotected is what to add to the word that all instances serve; empty if nothing of it could be lost.
func (p *planner) unprotected() string {
	reasons := map[string]string{}

	for _, feature := range p.plan.Features {
		if !feature.True {
			reasons[feature.Type] = feature.Reason
		}
	}

	doubts := proof.Doubts(func(condition string) string { return reasons[condition] })
	if len(doubts) == 0 {
		return ""
	}

	return ", but not protected: " + strings.Join(doubts, "; ")
}

// verified says whether the backups were proved lately.
func (p *planner) verified() Feature {
	feature := Feature{Type: v1.ConditionBackupVerified}
	if _, ok := build.OwnPlace(p.Cluster); !ok {
		return feature
	}

	drill := p.Cluster.Spec.Backup.Drill
	last := proof.LastDrill(p.Cluster, p.Backups)
	verified := p.backupsStatus()
	scheduleErr := checkDrill(drill)

	switch {
	case drill == nil:
		feature.Reason = v1.ReasonNoDrill
		feature.Message = "backups are never restored to prove them; set spec.backup.drill.schedule"
	case scheduleErr != nil:
		feature.Reason = v1.ReasonInvalidSchedule
		feature.Message = schedule.Field("spec.backup.drill", scheduleErr) + ": " + scheduleErr.Error()
	case last == nil:
		feature.Reason, feature.Message = v1.ReasonNoDrillYet, "no drill has ended yet; the first is due with spec.backup.drill.schedule once there is a backup"
	case !last.Succeeded:
		feature.Reason = v1.ReasonDrillFailed
		feature.Message = fmt.Sprintf("the drill of %s with Backup %s failed: %s", last.StoppedAt.UTC().Format(time.RFC3339), last.Backup, last.Message)
	case p.Now.Sub(verified.LastVerified.Time) > proofAge(*drill, p.Now):
		feature.Reason = v1.ReasonDrillTooOld
		feature.Message = fmt.Sprintf("the last drill that succeeded was at %s; see why none has since: kubectl get pods -l %s=%s",
			verified.LastVerified.UTC().Format(time.RFC3339), naming.LabelDrill, p.Cluster.Name)
	default:
		feature.True, feature.Reason = true, v1.ReasonVerified
		feature.Message = fmt.Sprintf("Backup %s was restored and checked at %s", last.Backup, last.StoppedAt.UTC().Format(time.RFC3339))
	}

	return feature
}

// checkDrill says why no drill can ever be due; nil if one can.
func checkDrill(drill *v1.DrillConfiguration) error {
	if drill == nil {
		return nil
	}

	_, err := schedule.Parse(drill.Schedule, drill.TimeZone)

	return err //nolint:wrapcheck // the caller names the field
}

// proofAge is for how long a proof counts: two intervals of the schedule where nothing else is said.
func proofAge(drill v1.DrillConfiguration, now time.Time) time.Duration {
	if drill.MaxAge != nil {
		return drill.MaxAge.Duration
	}

	parsed, err := schedule.Parse(drill.Schedule, drill.TimeZone)
	if err != nil {
		return 0
	}

	first := parsed.Next(now)

	return 2 * parsed.Next(first).Sub(first)
}

func (p *planner) recoveryStatus() *v1.RecoveryStatus {
	last := p.Cluster.Status.Recovery

	bootstrap := p.Cluster.Spec.Bootstrap
	if bootstrap == nil || bootstrap.Recovery == nil {
		return nil
	}

	status := &v1.RecoveryStatus{}
	if last != nil {
		status = last.DeepCopy()
	}

	if bootstrap.Recovery.Backup != nil {
		status.Backup = bootstrap.Recovery.Backup.Name
	}

	status.Target = targetWords(bootstrap.Recovery.RecoveryTarget)

	if report := p.states[p.primary].report; report != nil && report.Recovered != nil {
		status.BackupID, status.ReachedLSN = report.Recovered.BackupID, report.Recovered.ReachedLSN
		status.ReachedAt = metaTime(report.Recovered.At)
	}

	return status
}

// targetWords says a target as it was understood.
func targetWords(given *v1.RecoveryTarget) string {
	target := build.RecoveryTarget(given)
	words := "the end of the archive"

	switch {
	case target.Time != "":
		words = "time " + target.Time + " (UTC)"
	case target.LSN != "":
		words = "LSN " + target.LSN
	case target.XID != "":
		words = "transaction " + target.XID
	case target.Name != "":
		words = "restore point " + target.Name
	case target.Immediate:
		words = "the end of the backup"
	}

	if target.Exclusive {
		words = "just before " + words
	}

	if target.Timeline != "" && target.Timeline != "latest" {
		words += ", timeline " + target.Timeline
	}

	return words
}

// checkRecoverySnapshot: it must be there, and fit into the first volume, until that has been made.
func (f *facts) checkRecoverySnapshot(backup string) *problem {
	snapshot := build.RecoverySnapshot(f.Cluster, f.RecoveryBackup)

	switch {
	case f.Volumes[f.primary] != nil:
		return nil
	case snapshot == nil && f.RecoveryBackup.Status.Method != v1.BackupMethodVolumeSnapshot:
		return nil
	case snapshot == nil || f.SnapshotMissing:
		return &problem{v1.ReasonBackupMissing, fmt.Sprintf("spec.bootstrap.recovery.backup: the snapshot of Backup %q is gone; choose another Backup", backup)}
	}

	size := build.StorageSize(f.Cluster)
	if needed, err := resource.ParseQuantity(snapshot.RestoreSize); err == nil && size.Cmp(needed) < 0 {
		return &problem{v1.ReasonBootstrapFailed, fmt.Sprintf("spec.storage.size: is %s, and a volume made of the snapshot of Backup %q needs %s; set it to that or more",
			size.String(), backup, snapshot.RestoreSize)}
	}

	return nil
}

// checkRecovery: the backup must be there and complete until it was restored, and the place that is recovered from must not
// be the one that the new Cluster archives to.
func (f *facts) checkRecovery() *problem {
	bootstrap := f.Cluster.Spec.Bootstrap
	if bootstrap == nil || bootstrap.Recovery == nil || !f.isNew() {
		return nil
	}

	recovery := bootstrap.Recovery

	if target := recovery.RecoveryTarget; target != nil && target.TargetTime != "" {
		if _, err := postgres.ParseTargetTime(target.TargetTime); err != nil {
			return &problem{v1.ReasonBootstrapFailed, "spec.bootstrap.recovery.recoveryTarget.targetTime: " + err.Error()}
		}
	}

	if recovery.Backup != nil {
		name := recovery.Backup.Name

		switch {
		case f.RecoveryBackup == nil:
			return &problem{v1.ReasonBackupMissing, fmt.Sprintf(
				"spec.bootstrap.recovery.backup: there is no Backup %q in namespace %s; see kubectl get backups, or name the store itself as a source in externalClusters",
				name, f.Cluster.Namespace)}
		case proof.IsFailed(f.RecoveryBackup):
			return &problem{v1.ReasonBackupMissing, fmt.Sprintf("spec.bootstrap.recovery.backup: Backup %q failed: %s; choose another", name, f.RecoveryBackup.Status.Error)}
		case !proof.IsComplete(f.RecoveryBackup):
			return &problem{v1.ReasonBackupMissing, fmt.Sprintf("spec.bootstrap.recovery.backup: Backup %q is not complete yet; this Cluster is made once it is", name)}
		case !proof.IsStored(f.RecoveryBackup):
			return &problem{v1.ReasonBackupMissing, fmt.Sprintf("spec.bootstrap.recovery.backup: Backup %q cannot be restored: %s",
				name, proof.ExpiredWords(*f.RecoveryBackup.Status.Expired))}
		}

		if found := f.checkRecoverySnapshot(name); found != nil {
			return found
		}

		if taken := int(f.RecoveryBackup.Status.Major); taken != 0 && f.major != 0 && taken != f.major {
			return &problem{v1.ReasonMajorVersionChange, fmt.Sprintf(
				"spec.imageName: is PostgreSQL %d, but Backup %q is of PostgreSQL %d; set an image of PostgreSQL %d", f.major, name, taken, taken)}
		}
	}

	from, known := build.RecoveryPlace(f.Cluster, f.RecoveryBackup)
	if !known {
		return &problem{v1.ReasonBackupMissing, "spec.bootstrap.recovery: where the backup is stored is not known; name the store as a source in externalClusters"}
	}

	if own, archives := build.OwnPlace(f.Cluster); archives && own.IsSame(from) {
		return &problem{v1.ReasonBackupPlaceTaken, fmt.Sprintf(
			"%s: is the place that this Cluster is recovered from (folder %s), and two Clusters must not write to one; set %s.serverName to another name",
			own.Field, own.Server(), own.Field)}
	}

	if f.RecoveryClaimMissing {
		claim := from.Volume.PersistentVolumeClaim.ClaimName

		return &problem{v1.ReasonBackupMissing, fmt.Sprintf(
			"%s: there is no PersistentVolumeClaim %q in namespace %s, which the archive is to be read from; create it for the volume that has the archive, or name another claim",
			from.Field, claim, f.Cluster.Namespace)}
	}

	return nil
}
