package decide

import (
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/cluster/build"
	"github.com/caretaker-dev/caretaker/internal/conditions"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
)

// A backup by a snapshot is a backup like others, whose files are in a snapshot of the instance's volume:
//
//	the instance waits     the snapshot is made; its name is this attempt's alone, and was in the status before
//	it is cut              the instance is told, and goes on: what it writes from here on is not needed in the snapshot
//	the instance is done   what is in the archive is noted in the status and on the snapshot
//	it is ready to use     the backup is complete
//
// A snapshot is deleted with the attempt that it was of, with its Backup by reclaimPolicy Delete, and once the retention has let go of
// what the archive has of it. Until it is gone it stays in the status, and the Backup has the finalizer.

// readyPatience is how long a snapshot that was cut may take until it is ready to use: some drivers bring it to another place first.
const readyPatience = 6 * time.Hour

const noSnapshotKinds = "spec.method: the kinds of snapshot.storage.k8s.io/v1 are not installed in this Kubernetes cluster; install its volume snapshots " +
	"(CRDs, snapshot controller, and a CSI driver that takes them), or use objectStore"

// Snapshots is what there is of snapshots of volumes.
type Snapshots struct {
	// Served says whether their kinds are installed.
	Served bool
	// Classes of snapshots, and the Drivers of the instances' volumes; only while an instance is to be chosen.
	Classes []SnapshotClass
	Drivers map[string]VolumeDriver
	// Snapshot that the status names; nil if it is not there.
	Snapshot *Snapshot
}

// SnapshotClass is a VolumeSnapshotClass.
type SnapshotClass struct {
	Name, Driver string
	// Default says that it is marked as its driver's default.
	Default bool
}

// VolumeDriver is who makes the volume of an instance: the provisioner of its class, empty if it is not known.
type VolumeDriver struct{ Class, Driver string }

// Snapshot is a VolumeSnapshot.
type Snapshot struct {
	UID string
	// Taken: it is cut. Ready: a volume can be made of it.
	Taken, Ready bool
	RestoreSize  string
	// Error in the driver's words; it goes on trying.
	Error string
	// Deleting: it is on its way out.
	Deleting bool
	// Annotation is what naming.AnnotationBackup has.
	Annotation string
}

// CreateSnapshot makes a snapshot of an instance's volume.
type CreateSnapshot struct {
	Snapshot v1.BackupSnapshot
	Instance string
}

// String says it in words.
func (a CreateSnapshot) String() string {
	return fmt.Sprintf("take the snapshot %s of %s", a.Snapshot.Name, a.Instance)
}

// AnnotateSnapshot notes on a snapshot what belongs to it.
type AnnotateSnapshot struct{ Name, UID, Value string }

// String says it in words.
func (a AnnotateSnapshot) String() string { return "annotate the snapshot " + a.Name }

// DeleteSnapshot deletes one.
type DeleteSnapshot struct{ Name, UID string }

// String says it in words.
func (a DeleteSnapshot) String() string { return "delete the snapshot " + a.Name }

func (p *planner) isSnapshot() bool { return p.Backup.Spec.Method == v1.BackupMethodVolumeSnapshot }

// isEnding: what is in the archive is known, and the snapshot is not ready yet.
func isEnding(backup *v1.Backup) bool {
	status := backup.Status

	return backup.Spec.Method == v1.BackupMethodVolumeSnapshot && status.StoppedAt == nil && status.BackupID != "" && status.Snapshot != nil
}

func (p *planner) task() instanceapi.ArchiveTask {
	if p.isSnapshot() {
		return instanceapi.TaskSnapshot
	}

	return instanceapi.TaskBackup
}

// snapshotClass is the one to take a snapshot of that instance's volume with; empty for another method. It says in the outcome why
// there is none.
func (p *planner) snapshotClass(instance string) (string, bool) {
	if !p.isSnapshot() {
		return "", true
	}

	class, problem := p.chooseClass(p.Snapshots.Drivers[instance])
	if problem != "" {
		p.say(conditions.Stalled, v1.ReasonSnapshotsNotSupported, problem, afterStalled)
	}

	return class, problem == ""
}

func (p *planner) chooseClass(volume VolumeDriver) (class, problem string) {
	if volume.Driver == "" {
		return "", fmt.Sprintf("spec.method: the volumes of Cluster %s are of storage class %q, of which no driver is known that takes snapshots; use objectStore",
			p.Cluster.Name, volume.Class)
	}

	if given := p.Cluster.Spec.Backup.VolumeSnapshot; given != nil && given.ClassName != "" {
		return p.givenClass(volume, given.ClassName)
	}

	var defaults, others []string

	for _, class := range p.Snapshots.Classes {
		switch {
		case class.Driver != volume.Driver:
		case class.Default:
			defaults = append(defaults, class.Name)
		default:
			others = append(others, class.Name)
		}
	}

	suitable := defaults
	if len(suitable) == 0 {
		suitable = others
	}

	switch len(suitable) {
	case 0:
		return "", fmt.Sprintf("spec.method: there is no VolumeSnapshotClass of driver %s, which makes the volumes of Cluster %s (storage class %s); create one, or use objectStore",
			volume.Driver, p.Cluster.Name, volume.Class)
	case 1:
		return suitable[0], ""
	default:
		slices.Sort(suitable)

		return "", fmt.Sprintf("spec.method: there are several VolumeSnapshotClasses of driver %s (%s); name one in spec.backup.volumeSnapshot.className of Cluster %s",
			volume.Driver, strings.Join(suitable, ", "), p.Cluster.Name)
	}
}

func (p *planner) givenClass(volume VolumeDriver, name string) (class, problem string) {
	field := "spec.backup.volumeSnapshot.className of Cluster " + p.Cluster.Name
	i := slices.IndexFunc(p.Snapshots.Classes, func(c SnapshotClass) bool { return c.Name == name })

	switch {
	case i < 0:
		return "", fmt.Sprintf("%s: there is no VolumeSnapshotClass %s; create it, or name another of driver %s", field, name, volume.Driver)
	case p.Snapshots.Classes[i].Driver != volume.Driver:
		return "", fmt.Sprintf("%s: VolumeSnapshotClass %s is of driver %s, and the volumes are of %s; name one of that", field, name, p.Snapshots.Classes[i].Driver, volume.Driver)
	default:
		return name, ""
	}
}

// takeSnapshot: PostgreSQL is in backup mode, until it is told that the snapshot is cut.
func (p *planner) takeSnapshot(name string) {
	status := &p.plan.Status
	if status.Snapshot == nil {
		return
	}

	snapshot := *status.Snapshot
	awaiting := fmt.Sprintf("Waiting for the snapshot %s of %s", snapshot.Name, name)

	switch seen := p.Snapshots.Snapshot; {
	case seen == nil && snapshot.TakenAt != nil:
		p.lost("the snapshot " + snapshot.Name + " is gone")
	case seen == nil:
		p.plan.Actions = append(p.plan.Actions, CreateSnapshot{Snapshot: snapshot, Instance: name})
		p.say(conditions.Waiting, v1.ReasonBackupRunning, awaiting, afterRunning)
	case !seen.Taken:
		p.say(conditions.Waiting, v1.ReasonBackupRunning, awaiting+seen.trouble(), afterRunning)
	default:
		if snapshot.TakenAt == nil {
			now := metav1.NewTime(p.Now.Truncate(time.Second))
			status.Snapshot.TakenAt = &now
		}

		p.plan.Actions = append(p.plan.Actions, Order{Instance: name, Request: instanceapi.ArchiveRequest{
			Request: p.request(), Task: instanceapi.TaskSnapshotTaken,
		}})
	}
}

func (s *Snapshot) trouble() string {
	if s.Error == "" {
		return ""
	}

	return ": " + s.Error
}

// awaitSnapshot: what is in the archive is known, and kept from here on, whatever becomes of the instance.
func (p *planner) awaitSnapshot() {
	status := &p.plan.Status
	status.Phase, status.StoppedAt, status.Duration, status.Size, status.Verified = v1.BackupRunning, nil, "", "", false
	p.say(conditions.Waiting, v1.ReasonBackupRunning, "Waiting for the snapshot to be ready to use", time.Millisecond)
}

// endSnapshot completes the backup.
func (p *planner) endSnapshot() {
	status := &p.plan.Status
	name := status.Snapshot.Name
	annotation := build.SnapshotAnnotation(p.Backup.Name, *status)
	awaiting := "Waiting for the snapshot " + name + " to be ready to use"

	switch seen := p.Snapshots.Snapshot; {
	case seen == nil || seen.Deleting:
		p.lost("the snapshot " + name + " is gone")
	case seen.Annotation != annotation:
		p.plan.Actions = append(p.plan.Actions, AnnotateSnapshot{Name: name, UID: seen.UID, Value: annotation})
		p.say(conditions.Waiting, v1.ReasonBackupRunning, awaiting, time.Millisecond)
	case !seen.Ready && p.Now.Sub(status.StartedAt.Time) > readyPatience:
		p.lost(fmt.Sprintf("the snapshot %s is not ready to use within %s%s", name, readyPatience, seen.trouble()))
	case !seen.Ready:
		p.say(conditions.Waiting, v1.ReasonBackupRunning, awaiting+seen.trouble(), afterWaiting)
	default:
		now := metav1.NewTime(p.Now.Truncate(time.Second))
		status.Phase, status.StoppedAt = v1.BackupCompleted, &now
		status.Duration = now.Sub(status.StartedAt.Time).String()
		status.Snapshot.RestoreSize, status.Size = seen.RestoreSize, seen.RestoreSize
		p.ended()
	}
}

// dropSnapshot deletes the snapshot of a backup that has failed, or that the retention has let go of. It says whether there may be one.
func (p *planner) dropSnapshot() bool {
	status := &p.plan.Status

	switch {
	case status.Snapshot == nil || status.Error == "" && status.Expired == nil:
		return false
	case p.Snapshots == nil:
		p.plan.After = time.Millisecond // it is looked for in the next pass
	case p.isSnapshotGone():
		status.Snapshot = nil

		return false
	default:
		p.plan.After = afterWaiting
	}

	return true
}

// isSnapshotGone deletes what is there.
func (p *planner) isSnapshotGone() bool {
	seen := p.Snapshots.Snapshot
	if seen != nil && !seen.Deleting {
		p.plan.Actions = append(p.plan.Actions, DeleteSnapshot{Name: p.plan.Status.Snapshot.Name, UID: seen.UID})
	}

	return seen == nil
}

// isRidOfSnapshot says whether that of the attempt before is gone.
func (p *planner) isRidOfSnapshot() bool {
	status := &p.plan.Status
	if status.Snapshot == nil {
		return true
	}

	if p.isSnapshotGone() {
		status.Snapshot = nil

		return true
	}

	p.say(conditions.Waiting, v1.ReasonBackupRunning, "Waiting: the snapshot "+status.Snapshot.Name+" of an attempt that failed is being deleted", afterRunning)

	return false
}

// isSnapshotLeft says whether a Backup that is being deleted has a snapshot that is to go first: not while its instance, which was told
// of it, is about to end.
func (p *planner) isSnapshotLeft() bool {
	if p.Snapshots == nil || p.Snapshots.Snapshot == nil {
		return false
	}

	status := p.Backup.Status
	isTold := status.Snapshot.TakenAt != nil && status.StoppedAt == nil && status.InstanceID != nil && !isEnding(p.Backup)

	return !isTold || p.Cluster == nil
}

func (p *planner) reclaimSnapshot() {
	name := p.plan.Status.Snapshot.Name

	if p.isTooLate() {
		p.leave("the snapshot " + name + " could not be deleted in time and stays")

		return
	}

	p.isSnapshotGone()
	p.say(conditions.Waiting, v1.ReasonDeleting, "Waiting for the snapshot "+name+" to be deleted", afterRunning)
}
