// Package decide says what to do about a Backup. It is PURE.
//
//	deleted    with reclaimPolicy Delete an instance takes it off the store, once it is taken, then the finalizer goes
//	ended      nothing, until another Backup of the Cluster tells that the retention has deleted what was stored
//	running    its instance is asked; one that is gone, or knows nothing of it, has lost it: another attempt
//	new        the Cluster must exist and have an archive, no older Backup of it may be running, and an instance must be ready
//	snapshots  of volumes: as in snapshot.go
//
// An attempt that failed is followed by another, up to maxAttempts, with a pause. What the store holds of an attempt that was
// lost is incomplete, can be seen to be, and is swept by the engine.
package decide

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/archiveapi"
	"github.com/caretaker-dev/caretaker/internal/backup/proof"
	"github.com/caretaker-dev/caretaker/internal/cluster/build"
	"github.com/caretaker-dev/caretaker/internal/conditions"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

// Finalizer keeps a Backup that is being deleted until it is off the store.
const Finalizer = "postgresql.caretaker.dev/stored-backup"

const (
	maxAttempts = 3
	// pause between attempts.
	pause = 30 * time.Second
	// silence after which an instance that does not answer has lost the backup.
	silence = 2 * time.Minute
	// reclaimTimeout is how long taking a backup off the store may hold the object up.
	reclaimTimeout = 15 * time.Minute

	afterRunning = 2 * time.Second
	afterWaiting = 5 * time.Second
	afterStalled = 30 * time.Second
)

// View is what a decision stands on.
type View struct {
	Now    time.Time
	Backup *v1.Backup
	// Cluster is nil if there is none of that name.
	Cluster *v1.Cluster
	// Siblings are the other Backups that name the Cluster.
	Siblings []v1.Backup
	// Instances that run, by name.
	Instances map[string]Instance
	// Snapshots is what there is of snapshots of volumes; nil where it was not looked for.
	Snapshots *Snapshots
	// Drill is the result of a drill with this backup that has ended since the last look; nil if there is none.
	Drill *v1.DrillStatus
}

// Instance is a pod and its answer.
type Instance struct {
	PodUID string
	// Status is nil if it did not answer.
	Status *instanceapi.Status
	// SilentSince is the first call in a row that was not answered.
	SilentSince time.Time
}

// run is the task that it carries out or carried out last; nil if it is not known.
func (i Instance) run() *instanceapi.ArchiveRun {
	if i.Status == nil {
		return nil
	}

	return i.Status.ArchiveRun
}

// Action is something to do.
type Action interface{ String() string }

// SetFinalizer adds the finalizer, or takes it off.
type SetFinalizer struct{ Present bool }

// String says it in words.
func (a SetFinalizer) String() string {
	if a.Present {
		return "add the finalizer"
	}

	return "remove the finalizer"
}

// Order is a task for an instance.
type Order struct {
	Instance string
	Request  instanceapi.ArchiveRequest
}

// String says it in words.
func (a Order) String() string {
	return fmt.Sprintf("have %s %s (%s)", a.Instance, a.Request.Task, a.Request.Request)
}

// Plan is what to do, and what to say.
type Plan struct {
	Actions []Action
	Status  v1.BackupStatus
	Outcome conditions.Outcome
	// Restorable, with an empty Reason for "not known".
	Restorable Verdict
	// Left says what stays in the store although it was to be deleted; empty for nothing.
	Left  string
	After time.Duration
}

// Verdict is a condition.
type Verdict struct {
	True            bool
	Reason, Message string
}

// Decide makes the Plan.
func Decide(view View) Plan {
	p := planner{View: view}
	p.plan.Status = *view.Backup.Status.DeepCopy()
	p.plan.Status.ObservedGeneration = view.Backup.Generation
	p.expire()

	if view.Drill != nil {
		p.plan.Status.Drill = view.Drill
	}

	switch {
	case view.Backup.DeletionTimestamp != nil:
		p.reclaim()
	case view.Backup.Status.StoppedAt != nil:
		p.ended()
	case isEnding(view.Backup):
		p.endSnapshot()
	case view.Backup.Status.InstanceID != nil:
		p.follow()
	default:
		p.begin()
	}

	p.verdict()

	return p.plan
}

type planner struct {
	View

	plan Plan
}

func (p *planner) say(kind conditions.Kind, reason, message string, after time.Duration) {
	p.plan.Outcome = conditions.Outcome{Kind: kind, Reason: reason, Message: message}
	p.plan.After = after
}

// expire finds out from the other Backups whether what was stored has been deleted since.
func (p *planner) expire() {
	for i := range p.Siblings {
		if p.plan.Status.Expired == nil && IsTold(&p.Siblings[i], p.Backup) {
			told := p.Siblings[i].Status.Retention
			p.plan.Status.Expired = &v1.BackupExpired{Policy: told.Policy, At: told.At, FirstRecoverabilityPoint: told.FirstRecoverabilityPoint}
		}
	}
}

// IsTold says whether one Backup tells that the retention has deleted what another, which does not know it yet, has stored.
func IsTold(by, other *v1.Backup) bool {
	return by.Status.Retention != nil && proof.IsStored(other) &&
		slices.Contains(by.Status.Retention.Deleted, other.Status.BackupID) && isSamePlace(by, other)
}

// isSamePlace says whether two Backups of a Cluster are in the same folder of the same store: backup IDs are moments, and those
// of different places can be the same.
func isSamePlace(one, other *v1.Backup) bool {
	a, isKnown := build.BackupPlace(one)
	b, isOtherKnown := build.BackupPlace(other)

	return isKnown && isOtherKnown && a.IsSame(b)
}

// ended: what was taken stays so; the finalizer follows the policy, which may change.
func (p *planner) ended() {
	status := &p.plan.Status
	isDropped := p.dropSnapshot()
	wanted := isDropped || p.Backup.Spec.ReclaimPolicy == v1.BackupReclaimDelete && status.Error == "" && status.Expired == nil

	if wanted != slices.Contains(p.Backup.Finalizers, Finalizer) {
		p.plan.Actions = append(p.plan.Actions, SetFinalizer{Present: wanted})
	}

	if status.Error != "" {
		p.say(conditions.Stalled, v1.ReasonBackupFailed, status.Error+"; create another Backup", p.plan.After)

		return
	}

	p.say(conditions.Done, v1.ReasonBackupCompleted, fmt.Sprintf("%s was taken from %s", status.BackupID, instanceName(status.InstanceID)), p.plan.After)
}

func instanceName(instance *v1.BackupInstance) string {
	if instance == nil {
		return "an instance"
	}

	return instance.PodName
}

// begin chooses an instance. It is written into the status first, and ordered in the next pass.
func (p *planner) begin() {
	status := &p.plan.Status
	status.Phase, status.Method = v1.BackupPending, p.Backup.Spec.Method

	if !p.isPossible() {
		return
	}

	if other := p.ahead(); other != "" {
		p.say(conditions.Waiting, v1.ReasonBackupQueued, "Waiting: Backup "+other+" of the same Cluster comes first", afterWaiting)

		return
	}

	if !p.isRidOfSnapshot() {
		return
	}

	// The pause after an attempt that failed.
	if status.StartedAt != nil && p.Now.Sub(status.StartedAt.Time) < pause {
		p.say(conditions.Waiting, v1.ReasonBackupRunning, "Waiting: attempt "+fmt.Sprint(status.Attempts+1)+" follows soon; "+status.Error, afterWaiting)

		return
	}

	chosen := p.choose()
	if chosen == "" {
		p.say(conditions.Waiting, v1.ReasonNoInstance, "Waiting: no instance of Cluster "+p.Cluster.Name+" is ready to be backed up", afterWaiting)

		return
	}

	class, ok := p.snapshotClass(chosen)
	if !ok {
		return
	}

	place, _ := build.OwnPlace(p.Cluster)
	now := metav1.NewTime(p.Now.Truncate(time.Second))
	status.Attempts++
	status.StartedAt = &now
	status.Phase = v1.BackupStarted
	status.InstanceID = &v1.BackupInstance{PodName: chosen, PodUID: p.Instances[chosen].PodUID}
	status.ServerName = place.Server()
	status.DestinationPath = place.Archive("", instanceapi.ArchiveVolumeDir).URL
	status.ObjectStore, status.Volume, status.ClientEncryption = place.Store, place.Volume, place.Encryption
	status.Origin = build.Origin(p.Cluster)
	status.Error = ""

	if class != "" {
		status.Snapshot = &v1.BackupSnapshot{Name: naming.Snapshot(p.Backup.Name, p.request()), ClassName: class}
	}

	p.say(conditions.Waiting, v1.ReasonBackupRunning, fmt.Sprintf("Waiting for %s to begin", chosen), time.Millisecond)
}

// isPossible says in the outcome why not.
func (p *planner) isPossible() bool {
	switch {
	case p.isSnapshot() && (p.Snapshots == nil || !p.Snapshots.Served):
		p.say(conditions.Stalled, v1.ReasonSnapshotsNotSupported, noSnapshotKinds, afterStalled)
	case p.Cluster == nil:
		p.say(conditions.Waiting, v1.ReasonClusterMissing, fmt.Sprintf("Waiting: there is no Cluster %q in namespace %s; create it, or correct spec.cluster.name",
			p.Backup.Spec.Cluster.Name, p.Backup.Namespace), afterWaiting)
	default:
		if _, ok := build.OwnPlace(p.Cluster); ok {
			return true
		}

		p.say(conditions.Stalled, v1.ReasonBackupNotConfigured, fmt.Sprintf("Cluster %s has no archive to back up to; set its spec.backup.objectStore", p.Cluster.Name), afterStalled)
	}

	return false
}

// ahead is another Backup of the Cluster that runs, or is older and has not ended; empty if there is none.
func (p *planner) ahead() string {
	for _, other := range p.Siblings {
		if other.Status.StoppedAt != nil || other.DeletionTimestamp != nil {
			continue
		}

		runs := other.Status.InstanceID != nil
		stalled := slices.ContainsFunc(other.Status.Conditions, func(c metav1.Condition) bool { return c.Type == v1.ConditionStalled })
		older := cmp.Or(other.CreationTimestamp.Compare(p.Backup.CreationTimestamp.Time), strings.Compare(other.Name, p.Backup.Name)) < 0

		if runs || older && !stalled {
			return other.Name
		}
	}

	return ""
}

// choose is the instance that takes the backup: by preference a replica that streams.
func (p *planner) choose() string {
	target := p.Backup.Spec.Target
	if given := p.Cluster.Spec.Backup; given != nil {
		target = cmp.Or(target, given.Target)
	}

	target = cmp.Or(target, v1.BackupTargetPreferStandby)

	var replica, primary string

	for _, name := range sortedKeys(p.Instances) {
		status := p.Instances[name].Status
		if status == nil || !status.Ready || isBusy(status.ArchiveRun) || status.Archiving == nil {
			continue
		}

		switch status.Role {
		case instanceapi.RolePrimary:
			primary = name
		case instanceapi.RoleReplica:
			replica = cmp.Or(replica, name)
		}
	}

	if target == v1.BackupTargetPreferStandby {
		return cmp.Or(replica, primary)
	}

	return primary
}

func isBusy(run *instanceapi.ArchiveRun) bool { return run != nil && run.EndedAt == nil }

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}

	slices.Sort(keys)

	return keys
}

// request names an attempt.
func (p *planner) request() string { return fmt.Sprintf("%s/%d", p.Backup.UID, p.plan.Status.Attempts) }

func (p *planner) follow() {
	status := &p.plan.Status
	name := status.InstanceID.PodName
	instance, exists := p.Instances[name]

	switch {
	case !exists || instance.PodUID != status.InstanceID.PodUID:
		p.lost(name + " is gone")
	case instance.Status == nil && !instance.SilentSince.IsZero() && p.Now.Sub(instance.SilentSince) > silence:
		p.lost(name + " does not answer")
	case instance.Status == nil:
		p.say(conditions.Waiting, v1.ReasonBackupRunning, "Waiting for "+name+", which does not answer", afterRunning)
	case instance.Status.ArchiveRun == nil || instance.Status.ArchiveRun.Request != p.request():
		p.order(name, instance.Status)
	case instance.Status.ArchiveRun.EndedAt == nil:
		p.running(name, *instance.Status.ArchiveRun)
	case instance.Status.ArchiveRun.Error != "":
		p.lost(name + ": " + instance.Status.ArchiveRun.Error)
	default:
		p.taken(*instance.Status.ArchiveRun)
	}
}

// order tells the instance, unless it was told before: one that has begun and knows nothing of it any more has started anew.
func (p *planner) order(name string, seen *instanceapi.Status) {
	status := &p.plan.Status

	switch {
	case status.Phase == v1.BackupRunning:
		p.lost(name + " was started anew")

		return
	case isBusy(seen.ArchiveRun):
		p.say(conditions.Waiting, v1.ReasonBackupQueued, "Waiting: "+name+" is busy with another task of the archive", afterWaiting)

		return
	}

	// Before there is anything in the store, or a snapshot, so that nothing stays there if the object is deleted meanwhile.
	if (p.Backup.Spec.ReclaimPolicy == v1.BackupReclaimDelete || p.isSnapshot()) && !slices.Contains(p.Backup.Finalizers, Finalizer) {
		p.plan.Actions = append(p.plan.Actions, SetFinalizer{Present: true})
	}

	p.plan.Actions = append(p.plan.Actions, Order{Instance: name, Request: instanceapi.ArchiveRequest{
		Request: p.request(), Task: p.task(), BackupID: p.Backup.Name, FastCheckpoint: p.isFast(), Known: p.known(),
	}})
	p.say(conditions.Waiting, v1.ReasonBackupRunning, "Backing up "+name, afterRunning)
}

// known are the IDs of the other Backups in the same place.
func (p *planner) known() []string {
	var ids []string

	for i := range p.Siblings {
		if other := &p.Siblings[i]; proof.IsStored(other) && isSamePlace(p.Backup, other) {
			ids = append(ids, other.Status.BackupID)
		}
	}

	return ids
}

// isFast: a backup that somebody waits for begins at once; a checkpoint that is spread takes minutes.
func (p *planner) isFast() bool {
	if given := p.Backup.Spec.OnlineConfiguration; given != nil && given.ImmediateCheckpoint != nil {
		return *given.ImmediateCheckpoint
	}

	return true
}

func (p *planner) running(name string, run instanceapi.ArchiveRun) {
	status := &p.plan.Status
	status.Phase = v1.BackupRunning

	if run.Progress != nil {
		status.Progress = progress(*run.Progress, run.StartedAt, p.Now, status.Progress)
	}

	if status.Progress != nil && status.Progress.Step == stepWaitingForWAL {
		p.endSegment(name)
	}

	p.say(conditions.Waiting, v1.ReasonBackupRunning, "Backing up "+name, afterRunning)

	if p.isSnapshot() && run.Progress != nil && run.Progress.Step == archiveapi.PhaseSnapshot {
		p.takeSnapshot(name)
	}
}

// stepWaitingForWAL is what the engine calls waiting for the archive (archiveapi.PhaseWaiting).
const stepWaitingForWAL = "WaitingForWAL"

// endSegment: what is archived are whole segments, and a standby cannot end one. On an idle primary it would take for ever.
func (p *planner) endSegment(name string) {
	for _, primary := range sortedKeys(p.Instances) {
		seen := p.Instances[primary].Status
		if primary == name || seen == nil || seen.Role != instanceapi.RolePrimary || !seen.Ready {
			continue
		}

		p.plan.Actions = append(p.plan.Actions, Order{Instance: primary, Request: instanceapi.ArchiveRequest{
			Request: p.request() + "/switch", Task: instanceapi.TaskSwitch,
		}})
	}
}

// progress in steps of five percent or a minute: each is a write.
func progress(seen instanceapi.ArchiveProgress, began, now time.Time, last *v1.BackupProgress) *v1.BackupProgress {
	next := &v1.BackupProgress{Step: seen.Step, BytesDone: seen.Done, BytesTotal: seen.Total, Display: seen.Step}

	if seen.Total > 0 {
		next.Percent = int32(min(100, seen.Done*100/seen.Total)) //nolint:gosec // at most 100
		next.Display = fmt.Sprintf("%d%%", next.Percent)
	}

	if seen.Done > 0 && seen.Total > seen.Done {
		left := time.Duration(float64(now.Sub(began)) * float64(seen.Total-seen.Done) / float64(seen.Done))
		at := metav1.NewTime(now.Add(left).Truncate(time.Minute))
		next.EstimatedCompletion = &at
	}

	if last != nil && last.Step == next.Step && next.Percent/5 == last.Percent/5 {
		return last
	}

	return next
}

// lost ends an attempt: another follows, or the Backup has failed.
func (p *planner) lost(why string) {
	status := &p.plan.Status
	status.InstanceID, status.Progress, status.BackupID, status.Retention = nil, nil, "", nil
	status.Error = fmt.Sprintf("attempt %d of %d failed: %s", status.Attempts, maxAttempts, why)

	now := metav1.NewTime(p.Now.Truncate(time.Second))

	if status.Attempts < maxAttempts {
		status.Phase, status.StartedAt = v1.BackupPending, &now
		p.say(conditions.Waiting, v1.ReasonBackupRunning, "Waiting: another attempt follows; "+status.Error, afterWaiting)

		return
	}

	status.Phase, status.StoppedAt = v1.BackupFailed, &now
	p.dropSnapshot()
	p.say(conditions.Stalled, v1.ReasonBackupFailed, status.Error+"; create another Backup", p.plan.After)
}

func (p *planner) taken(run instanceapi.ArchiveRun) {
	status := &p.plan.Status
	if run.Backup == nil {
		p.lost(status.InstanceID.PodName + " does not say what it has taken")

		return
	}

	backup := run.Backup
	started, stopped := metav1.NewTime(backup.StartedAt.Truncate(time.Second)), metav1.NewTime(backup.StoppedAt.Truncate(time.Second))
	status.Phase, status.Progress, status.Error = v1.BackupCompleted, nil, ""
	status.BackupID, status.Incremental = backup.ID, backup.Parent
	status.BeginLSN, status.EndLSN, status.BeginWal, status.EndWal = backup.BeginLSN, backup.EndLSN, backup.BeginWAL, backup.EndWAL
	status.TimelineID, status.SystemID, status.Major = backup.Timeline, backup.SystemID, int32(backup.Major) //nolint:gosec // two digits
	status.StartedAt, status.StoppedAt = &started, &stopped
	status.Duration = stopped.Sub(started.Time).String()
	status.SizeBytes, status.DataBytes = quantity(backup.StoredBytes), quantity(backup.DataBytes)
	status.Size = archiveapi.Size(backup.StoredBytes)
	status.Verified = backup.Verified
	status.Retention = p.retention(run.Retention)

	if p.isSnapshot() {
		p.awaitSnapshot()

		return
	}

	p.ended()
}

// retention is what the other Backups learn from this one. It is kept here, so that none of it is lost with an operator that dies.
func (p *planner) retention(run *instanceapi.RetentionRun) *v1.BackupRetention {
	status := &p.plan.Status

	// An instance that follows another configuration than this Backup was ordered by has looked elsewhere.
	if run == nil || run.URL != status.DestinationPath || run.Server != status.ServerName {
		return nil
	}

	told := &v1.BackupRetention{
		Policy: run.Policy, At: metav1.NewTime(run.At.Truncate(time.Second)), Deleted: run.Gone, Error: run.Error,
		FirstRecoverabilityPoint: status.StoppedAt,
	}

	for i := range p.Siblings {
		other := &p.Siblings[i]
		isLeft := proof.IsStored(other) && isSamePlace(p.Backup, other) && !slices.Contains(run.Gone, other.Status.BackupID)

		if isLeft && other.Status.StoppedAt.Before(told.FirstRecoverabilityPoint) {
			told.FirstRecoverabilityPoint = other.Status.StoppedAt
		}
	}

	return told
}

// reclaim takes the backup off the store.
func (p *planner) reclaim() {
	status := &p.plan.Status

	switch {
	case !slices.Contains(p.Backup.Finalizers, Finalizer):
		p.say(conditions.Resting, v1.ReasonDeleting, "the Backup is being deleted", 0)
	case p.Backup.Spec.ReclaimPolicy != v1.BackupReclaimDelete && (!p.isSnapshot() || proof.IsStored(p.Backup)):
		p.release("the stored backup stays, as spec.reclaimPolicy says")
	case p.isTooLate() && !proof.IsComplete(p.Backup):
		p.leave("the backup that is being taken from " + instanceName(status.InstanceID) + " did not end in time; what it leaves is in " + status.DestinationPath)
	case p.isSnapshotLeft():
		p.reclaimSnapshot()
	case status.StoppedAt == nil && status.InstanceID != nil && !isEnding(p.Backup) && p.Cluster != nil:
		p.awaitEnd()
	case !proof.IsComplete(p.Backup) && !isEnding(p.Backup):
		p.release("there is nothing in the store")
	case status.Expired != nil:
		p.release("the stored backup is gone already: " + proof.ExpiredWords(*status.Expired))
	case p.Cluster == nil:
		p.leave("the Cluster is gone: the stored backup " + status.BackupID + " stays in " + p.folder())
	case build.IsElsewhere(p.Cluster, p.Backup):
		// An instance deletes from the archive of today, in which a backup of that ID may be another one.
		p.leave("the Cluster archives to another place today: the stored backup " + status.BackupID + " stays in " + p.folder())
	case p.isTooLate():
		p.leave("the stored backup " + status.BackupID + " could not be deleted in time and stays in " + p.folder())
	default:
		p.deleteStored()
	}
}

// folder that the backup is stored in, in words.
func (p *planner) folder() string {
	return p.Backup.Status.DestinationPath + ", folder " + p.Backup.Status.ServerName
}

func (p *planner) isTooLate() bool {
	return p.Now.Sub(p.Backup.DeletionTimestamp.Time) > reclaimTimeout
}

// release lets the object go.
func (p *planner) release(why string) {
	p.plan.Actions = append(p.plan.Actions, SetFinalizer{})
	p.say(conditions.Resting, v1.ReasonDeleting, why, 0)
}

// leave lets the object go although something stays in the store.
func (p *planner) leave(what string) {
	p.plan.Left = what
	p.release(what)
}

// awaitEnd of a backup that is being taken while its object is deleted: then it is deleted like one that was taken before.
func (p *planner) awaitEnd() {
	name := p.plan.Status.InstanceID.PodName
	instance := p.Instances[name]

	if instance.PodUID == p.plan.Status.InstanceID.PodUID && instance.Status == nil {
		p.say(conditions.Waiting, v1.ReasonDeleting, "Waiting for "+name+", which does not answer", afterRunning)

		return
	}

	switch run := instance.run(); {
	case p.isSnapshot() && p.plan.Status.Snapshot != nil && p.plan.Status.Snapshot.TakenAt == nil:
		p.release(name + " is not told that there is a snapshot, and gives the backup up")
	case run == nil || run.Request != p.request() || run.EndedAt != nil && run.Backup == nil:
		p.release("there is nothing in the store")
	case run.EndedAt == nil:
		if run.Progress != nil && run.Progress.Step == stepWaitingForWAL {
			p.endSegment(name)
		}

		p.say(conditions.Waiting, v1.ReasonDeleting, "Waiting for "+name+" to end the backup that it takes; it is deleted then", afterRunning)
	default:
		p.taken(*run)
		p.say(conditions.Waiting, v1.ReasonDeleting, "Waiting for the stored backup "+p.plan.Status.BackupID+" to be deleted", time.Millisecond)
	}
}

func (p *planner) deleteStored() {
	request := string(p.Backup.UID) + "/delete"

	for _, name := range sortedKeys(p.Instances) {
		seen := p.Instances[name].Status
		if seen == nil || seen.ArchiveRun == nil || seen.ArchiveRun.Request != request {
			continue
		}

		switch run := seen.ArchiveRun; {
		case run.EndedAt == nil:
			p.say(conditions.Waiting, v1.ReasonDeleting, "Waiting for "+name+" to delete the stored backup "+p.Backup.Status.BackupID, afterRunning)
		case run.Error != "":
			p.say(conditions.Waiting, v1.ReasonDeleting, "Waiting: the stored backup could not be deleted: "+run.Error, afterWaiting)
		default:
			p.release("the stored backup was deleted")
		}

		return
	}

	name := p.choose()
	if name == "" {
		p.say(conditions.Waiting, v1.ReasonNoInstance, "Waiting for an instance of the Cluster that can delete the stored backup", afterWaiting)

		return
	}

	p.plan.Actions = append(p.plan.Actions, Order{Instance: name, Request: instanceapi.ArchiveRequest{
		Request: request, Task: instanceapi.TaskDelete, BackupID: p.Backup.Status.BackupID,
	}})
	p.say(conditions.Waiting, v1.ReasonDeleting, "Waiting for "+name+" to delete the stored backup "+p.Backup.Status.BackupID, afterRunning)
}
