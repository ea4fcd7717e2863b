package decide

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/backup/proof"
	"github.com/caretaker-dev/caretaker/internal/cluster/build"
	"github.com/caretaker-dev/caretaker/internal/conditions"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

// A recovery in place goes through its steps in this order. Each is in the status before anything is done in it, so that an
// operator that dies goes on where it was; what is done twice does no harm.
//
//	Stopping       all instances, as for hibernation
//	SettingAside   every volume gets a label. From then on it is none of the Cluster's: no instance is made on it, and
//	               the operator never deletes it
//	StartingAnew   the term record is made again. It begins with a term, a number of writes and a timeline above all that the
//	               volumes know of, so that what they say counts nowhere
//	Recovering     the rest is as for a new Cluster: its first instance makes the data, from the Cluster's own archive, and the
//	               others are cloned. Names of instances whose volumes were set aside are not used
//
// Going back is the same, with volumes that were set aside earlier in place of new ones, and with the record that they know: in
// it a new term is asked for, on a timeline that nobody has written.

const (
	// lostTerms, lostWrites and lostTimelines are how far a record begins above what was last seen, where the volumes do not say what
	// they know of.
	lostTerms     = 1000
	lostWrites    = 1000 * lostTerms
	lostTimelines = 16
)

func (p *planner) recoverInPlace() {
	if p.beginInPlace(); p.ended || p.inPlace == nil {
		return
	}

	switch p.inPlace.Step {
	case v1.InPlaceStopping:
		if len(p.Pods) == 0 {
			p.enterInPlace(v1.InPlaceSettingAside)

			return
		}

		p.stopAll("recovery in place")
		p.waitInPlace(fmt.Sprintf("stopping the instances, %d more", len(p.Pods)))
	case v1.InPlaceSettingAside:
		p.setVolumesAside()
	case v1.InPlaceStartingAnew:
		p.startAnew()
	case v1.InPlaceRecovering:
		// What is to be recovered is in the spec only.
		if asked := p.Cluster.Spec.RecoverInPlace; p.recoversInPlace && asked == nil {
			p.end(conditions.Stalled, v1.ReasonInPlaceRefused, fmt.Sprintf("spec.recoverInPlace: was taken away while recovery %s is under way; "+
				"put it back, or ask for another one, such as setAside: %s to go back", p.inPlace.ID, p.inPlace.ID), afterQuiet)
		}
	case v1.InPlaceCompleted:
	}
}

// beginInPlace begins a recovery that was asked for, if it can work.
func (p *planner) beginInPlace() {
	asked, last := p.Cluster.Spec.RecoverInPlace, p.inPlace

	switch {
	case asked == nil, last != nil && last.ID == asked.ID, p.isStoppedInPlace() && (last.Step != v1.InPlaceStartingAnew || len(p.Volumes) > 0):
		// Nothing new, or the one before is in the middle of what must not be left half done.
		return
	case p.Cluster.Status.ObservedGeneration == 0:
		p.inPlace = &v1.RecoverInPlaceStatus{
			ID: asked.ID, Step: v1.InPlaceCompleted, Message: "nothing was recovered: the Cluster was created with this wish; give it another id to recover",
		}

		return
	}

	if problem := p.checkInPlace(*asked); problem != "" {
		p.stall(v1.ReasonInPlaceRefused, problem)

		return
	}

	now := metav1.NewTime(p.Now.Truncate(time.Second))
	p.inPlace = &v1.RecoverInPlaceStatus{ID: asked.ID, Target: targetWords(asked.RecoveryTarget), SetAside: asked.SetAside, StartedAt: &now}

	if asked.SetAside != "" {
		p.inPlace.Target = "the volumes that recovery " + asked.SetAside + " set aside"
	}

	p.enterInPlace(v1.InPlaceStopping)
}

// enterInPlace goes on to a step. What it does begins with the next pass, when the step is in the status.
func (p *planner) enterInPlace(step v1.InPlaceStep) {
	p.inPlace.Step = step
	p.waitInPlace("to " + p.inPlace.Target)
}

func (p *planner) waitInPlace(what string) {
	p.end(conditions.Waiting, v1.ReasonRecoveringInPlace, fmt.Sprintf("Recovering in place (%s): %s", p.inPlace.Step, what), afterMoving)
}

// isStoppedInPlace: no instance is to run, since the volumes are being exchanged.
func (p *planner) isStoppedInPlace() bool {
	return p.inPlace != nil && slices.Contains([]v1.InPlaceStep{v1.InPlaceStopping, v1.InPlaceSettingAside, v1.InPlaceStartingAnew}, p.inPlace.Step)
}

func (p *planner) setVolumesAside() {
	switch {
	case len(p.Pods) > 0:
		p.stopAll("recovery in place")
	case len(p.Volumes) == 0:
		p.enterInPlace(v1.InPlaceStartingAnew)

		return
	default:
		for _, name := range sortedKeys(p.Volumes) {
			p.act(SetVolumeAside{Name: name, UID: p.Volumes[name].UID, ID: p.inPlace.ID, Record: build.EncodeRecord(p.Record)})
		}
	}

	p.waitInPlace("setting the volumes " + strings.Join(sortedKeys(p.Volumes), ", ") + " aside")
}

func (p *planner) startAnew() {
	if p.Record != nil && p.Record.Annotations[naming.AnnotationRecoverInPlace] == p.inPlace.ID {
		p.enterInPlace(v1.InPlaceRecovering)

		return
	}

	back := p.setAsideBy(p.inPlace.SetAside)
	for _, volume := range back {
		p.act(TakeVolumeBack{Name: volume.Name, UID: volume.UID})
	}

	switch {
	case len(back) > 0:
	case p.inPlace.SetAside != "" && len(p.Volumes) == 0:
		p.end(conditions.Stalled, v1.ReasonInPlaceRefused, fmt.Sprintf("spec.recoverInPlace.setAside: the volumes that %s set aside are gone; "+
			"ask for another recovery%s", p.inPlace.SetAside, p.choices()), afterQuiet)

		return
	case p.Record != nil:
		p.act(DeleteRecord{Record: p.Record})
	default:
		p.act(CreateRecord{Record: p.newRecord(), Volumes: sortedKeys(p.Volumes)})
	}

	p.waitInPlace("making the term record anew")
}

// newRecord is the record that the recovery begins with.
func (p *planner) newRecord() *v1.ClusterTerm {
	record := build.ClusterTerm(p.Cluster, p.bootstrapInstance())
	seq, pending := p.beyond()

	// The volumes that are taken into use again go on under the rule that they know.
	for _, volume := range p.Volumes {
		if known := build.RecordOf(volume.Annotations); known != nil && known.Term > 0 && known.Seq >= record.Spec.Seq {
			record.Spec = *known
		}
	}

	if before := record.Spec.Pending; before != nil {
		pending.OldStopped = before.OldStopped
	}

	// So an instance with an older configuration sees that it is not meant.
	if record.Spec.Term == 0 {
		pending.Request = p.inPlace.ID
	}

	record.Annotations[naming.AnnotationRecoverInPlace] = p.inPlace.ID
	record.Spec.Seq, record.Spec.Pending = seq, &pending

	// Whose data it is to go on from is decided as for any record that was lost.
	if p.inPlace.SetAside != "" && record.Spec.Term == 0 {
		record.Spec.Pending = nil
	}

	return record
}

// beyond is a number of writes, a term and a timeline that no volume can know of.
func (p *planner) beyond() (seq int64, pending v1.PendingTerm) {
	pending.Term, pending.Timeline = p.Cluster.Status.Term, p.Cluster.Status.TimelineID
	isKnown := false

	for _, volumes := range []map[string]*corev1.PersistentVolumeClaim{p.SetAside, p.Volumes} {
		for _, volume := range volumes {
			known := build.RecordOf(volume.Annotations)
			if known == nil {
				continue
			}

			seq, pending.Term, pending.Timeline = max(seq, known.Seq), max(pending.Term, known.Term), max(pending.Timeline, known.Timeline)
			if before := known.Pending; before != nil {
				pending.Term, pending.Timeline = max(pending.Term, before.Term), max(pending.Timeline, before.Timeline)
			}

			if volume.Labels[naming.LabelSetAside] == p.inPlace.ID && (known.Term > 0 || known.Pending != nil) {
				isKnown = true
			}
		}
	}

	if !isKnown {
		seq, pending.Term, pending.Timeline = seq+lostWrites, pending.Term+lostTerms, pending.Timeline+lostTimelines
	}

	pending.Term, pending.Timeline = pending.Term+1, pending.Timeline+1

	return seq + 1, pending
}

// checkInPlace says why a recovery cannot work; empty if it can. What only the archive knows is found out by the recovery itself.
func (p *planner) checkInPlace(asked v1.RecoverInPlace) string {
	place, archives := build.OwnPlace(p.Cluster)
	template := p.Cluster.Spec.Storage.PVCTemplate

	switch {
	case p.hibernating():
		return fmt.Sprintf("spec.recoverInPlace: the Cluster is hibernated; remove %s first", naming.AnnotationHibernate)
	case len(p.setAsideBy(asked.ID)) > 0:
		return fmt.Sprintf("spec.recoverInPlace.id: an earlier recovery %q has set volumes aside; choose another id", asked.ID)
	case asked.SetAside != "":
		return p.checkGoingBack(asked.SetAside)
	case !archives:
		return "spec.recoverInPlace: needs the Cluster's own archive, and spec.backup names none; to recover from another archive, " +
			"make a new Cluster with spec.bootstrap.recovery"
	case template != nil && (template.VolumeName != "" || template.DataSource != nil || template.DataSourceRef != nil):
		return "spec.recoverInPlace: needs new and empty volumes, and spec.storage.pvcTemplate names a volume or a data source; " +
			"take that out, or make a new Cluster with spec.bootstrap.recovery"
	case asked.Backup != nil:
		if problem := p.checkInPlaceBackup(asked.Backup.Name, place); problem != "" {
			return problem
		}
	case !p.hasBackup():
		return "spec.recoverInPlace: no Backup of this Cluster is complete and still stored; see kubectl get backups"
	}

	return p.checkInPlaceTarget(asked)
}

func (p *planner) checkGoingBack(id string) string {
	volumes := p.setAsideBy(id)
	if len(volumes) == 0 {
		return fmt.Sprintf("spec.recoverInPlace.setAside: no volumes were set aside by %q%s", id, p.choices())
	}

	for _, volume := range volumes {
		switch {
		case volume.DeletionTimestamp != nil:
			return fmt.Sprintf("spec.recoverInPlace.setAside: the volume %s is being deleted; choose others%s", volume.Name, p.choices())
		case isIncomplete(volume):
			return fmt.Sprintf("spec.recoverInPlace.setAside: the volumes that %s set aside are of a recovery that did not end; choose others%s", id, p.choices())
		}
	}

	return ""
}

func (p *planner) checkInPlaceBackup(name string, own build.Place) string {
	backup := p.InPlaceBackup

	refuse := func(format string, args ...any) string {
		return fmt.Sprintf("spec.recoverInPlace.backup: "+format, args...)
	}

	switch {
	case backup == nil:
		return refuse("there is no Backup %q in namespace %s; see kubectl get backups", name, p.Cluster.Namespace)
	case backup.Spec.Cluster.Name != p.Cluster.Name:
		return refuse("Backup %q is of Cluster %s; choose one of this Cluster, or make a new Cluster with spec.bootstrap.recovery", name, backup.Spec.Cluster.Name)
	case proof.IsFailed(backup):
		return refuse("Backup %q failed: %s; choose another", name, backup.Status.Error)
	case !proof.IsComplete(backup):
		return refuse("Backup %q is not complete yet; wait until it is, or choose another", name)
	case !proof.IsStored(backup):
		return refuse("Backup %q cannot be restored: %s", name, proof.ExpiredWords(*backup.Status.Expired))
	case backup.Status.Method == v1.BackupMethodVolumeSnapshot:
		return refuse("Backup %q is a snapshot of a volume, and a recovery in place begins with one in the archive; choose another, or make a new "+
			"Cluster with spec.bootstrap.recovery", name)
	case backup.Status.Major != 0 && p.major != 0 && int(backup.Status.Major) != p.major:
		return refuse("Backup %q is of PostgreSQL %d, and this Cluster is of PostgreSQL %d; choose a later one", name, backup.Status.Major, p.major)
	}

	if build.IsElsewhere(p.Cluster, backup) {
		return refuse("Backup %q is not stored in this Cluster's archive of today, %s; make a new Cluster with spec.bootstrap.recovery", name, own.Field)
	}

	return ""
}

func (p *planner) checkInPlaceTarget(asked v1.RecoverInPlace) string {
	if asked.RecoveryTarget == nil || asked.RecoveryTarget.TargetTime == "" {
		return ""
	}

	const field = "spec.recoverInPlace.recoveryTarget.targetTime: "

	at, err := postgres.ParseTargetTime(asked.RecoveryTarget.TargetTime)

	switch {
	case err != nil:
		return field + err.Error()
	case at.After(p.Now):
		return field + "is in the future"
	case asked.Backup != nil:
		if stopped := p.InPlaceBackup.Status.StoppedAt; stopped != nil && at.Before(stopped.Time) {
			return fmt.Sprintf(field+"is before the end of Backup %q; choose an older Backup, or leave backup out", asked.Backup.Name)
		}
	default:
		if first := proof.FirstRecoverable(p.Cluster, p.Backups); first != nil && at.Before(first.Time) {
			return field + "is before the end of the first backup, " + first.UTC().Format("2006-01-02 15:04:05 UTC") + "; choose a later time"
		}
	}

	return ""
}

func (p *planner) hasBackup() bool {
	return slices.ContainsFunc(proof.Of(p.Cluster, p.Backups), func(b v1.Backup) bool { return proof.IsInArchive(&b) })
}

// setAsideBy are the volumes that a recovery set aside, by name.
func (p *planner) setAsideBy(id string) []*corev1.PersistentVolumeClaim {
	var found []*corev1.PersistentVolumeClaim

	for _, name := range sortedKeys(p.SetAside) {
		if id != "" && p.SetAside[name].Labels[naming.LabelSetAside] == id {
			found = append(found, p.SetAside[name])
		}
	}

	return found
}

// choices are what one can go back to, for the end of a message.
func (p *planner) choices() string {
	var ids []string

	for _, set := range p.setAside() {
		if !set.Incomplete {
			ids = append(ids, set.ID)
		}
	}

	if len(ids) == 0 {
		return "; there are none"
	}

	return "; there are those of " + strings.Join(ids, ", ")
}

// isIncomplete: a recovery was to be made on the volume and did not end.
func isIncomplete(volume *corev1.PersistentVolumeClaim) bool {
	known := build.RecordOf(volume.Annotations)

	return known != nil && known.Term == 0 && known.Pending != nil
}

// setAside is for the status.
func (p *planner) setAside() []v1.SetAsideStatus {
	sets := map[string]*v1.SetAsideStatus{}

	for _, name := range sortedKeys(p.SetAside) {
		id := p.SetAside[name].Labels[naming.LabelSetAside]
		if sets[id] == nil {
			sets[id] = &v1.SetAsideStatus{ID: id}
		}

		sets[id].Volumes = append(sets[id].Volumes, name)
		sets[id].Incomplete = sets[id].Incomplete || isIncomplete(p.SetAside[name])
	}

	var all []v1.SetAsideStatus
	for _, id := range slices.Sorted(maps.Keys(sets)) {
		all = append(all, *sets[id])
	}

	return all
}

// tellInPlace brings the status up to date: a recovery is over when a primary serves.
func (p *planner) tellInPlace() {
	if p.inPlace == nil || p.inPlace.Step == v1.InPlaceCompleted {
		return
	}

	p.inPlace.Message = p.plan.Outcome.Message

	if p.inPlace.Step != v1.InPlaceRecovering || p.ended {
		return
	}

	state := p.states[p.primary]
	if state.report != nil && state.report.Recovered != nil {
		p.inPlace.BackupID, p.inPlace.ReachedLSN = state.report.Recovered.BackupID, state.report.Recovered.ReachedLSN
	}

	if p.established && p.Record.Spec.Pending == nil && state.ready {
		now := metav1.NewTime(p.Now.Truncate(time.Second))
		p.inPlace.Step, p.inPlace.Message, p.inPlace.CompletedAt = v1.InPlaceCompleted, "", &now
	}
}
