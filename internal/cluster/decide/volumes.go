package decide

import (
	"fmt"
	"maps"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/cluster/build"
	"github.com/caretaker-dev/caretaker/internal/conditions"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

// Each member has a volume of its own name.
//
//	missing   a replica's is made: a new volume is a new member, which clones the primary.
//	          The primary's is never replaced by an empty one: a replica takes over first. Without one only the user can
//	          know whether a copy is left
//	leaving   waited for
//	smaller   grown, if its storage class can
//
// Growing comes last in a pass: it may be refused, and nothing else shall wait for that. The volume remembers, by annotation, which member lives on it and what image and major version last ran there.
func (p *planner) volumes() {
	for _, name := range p.members {
		live := p.Volumes[name]

		switch {
		case live == nil:
			p.newVolume(name)
		case live.DeletionTimestamp == nil:
			p.keepVolume(name, live)
		}
	}
}

func (p *planner) newVolume(name string) {
	if name == p.primary && p.established && p.hasVoters() {
		p.say(conditions.Waiting, v1.ReasonVolumeMissing, fmt.Sprintf("Waiting: the volume of the primary %s is gone; a replica takes over (%s)",
			name, p.readiness()), afterMoving)

		return
	}

	if name == p.primary && p.established {
		p.stall(v1.ReasonVolumeMissing, p.withoutPrimaryVolume())

		return
	}

	// A claim that is made under a running pod would not be the volume that the pod has mounted.
	if pod := p.Pods[name]; pod != nil && pod.Spec.NodeName != "" {
		return
	}

	volume := build.Volume{Instance: name}
	if name == p.primary && p.isNew() {
		volume.Snapshot = build.RecoverySnapshot(p.Cluster, p.RecoveryBackup)
	}

	claim := build.PersistentVolumeClaim(p.input, volume)
	p.act(Apply{Object: claim, New: true})
	p.made(claim)
}

// withoutPrimaryVolume says what can be done where nobody may take over: no replica counts for commits, so that each may lack the last
// ones. What is left of the data is the first way, since to delete the record is to decide so, see ADR 0027.
func (p *planner) withoutPrimaryVolume() string {
	var left []string

	for _, name := range p.members {
		if name != p.primary && p.Volumes[name] != nil && p.memberID(name) != "" {
			left = append(left, name)
		}
	}

	recovery, record := "", naming.ClusterTerm(p.Cluster.Name)
	if _, archives := build.OwnPlace(p.Cluster); archives {
		recovery = "recover a Backup into a new Cluster (kubectl caretaker restore), "
	}

	gone := fmt.Sprintf("the volume of the primary %s is gone", p.primary)
	otherwise := fmt.Sprintf("the volume claim %s from a snapshot, %sor, to start over with an empty database, delete the Cluster, its volume claims and "+
		"ClusterTerm/%s, and create it again", p.primary, recovery, record)

	if len(left) == 0 {
		return gone + ": there is nothing to go on with. Restore " + otherwise
	}

	return fmt.Sprintf("%s, and no replica is known to have all its commits. To go on with what %s has, without what it lacks: "+
		"kubectl delete -n %s clusterterm %s. Else restore %s", gone, strings.Join(left, " or "), p.Cluster.Namespace, record, otherwise)
}

func (p *planner) keepVolume(name string, live *corev1.PersistentVolumeClaim) {
	volume := build.Volume{Instance: name, Live: live, KeepSize: true, Annotations: p.volumeAnnotations(name, live)}
	p.ensure(build.PersistentVolumeClaim(p.input, volume), live)

	volume.KeepSize = false

	wanted := build.PersistentVolumeClaim(p.input, volume)
	if !grows(wanted, live) {
		return
	}

	if message := p.expansionProblem(name, live); message != "" {
		p.stall(v1.ReasonStorageNotExpandable, message)

		return
	}

	p.late = append(p.late, Apply{Object: wanted, Grows: true, Why: fmt.Sprintf("grow from %s to %s", sizeOf(live), sizeOf(wanted))})
}

func sizeOf(claim *corev1.PersistentVolumeClaim) string {
	size := claim.Spec.Resources.Requests[corev1.ResourceStorage]

	return size.String()
}

func grows(wanted, live *corev1.PersistentVolumeClaim) bool {
	size := wanted.Spec.Resources.Requests[corev1.ResourceStorage]

	return size.Cmp(live.Spec.Resources.Requests[corev1.ResourceStorage]) > 0
}

func (p *planner) expansionProblem(name string, live *corev1.PersistentVolumeClaim) string {
	class := ""
	if live.Spec.StorageClassName != nil {
		class = *live.Spec.StorageClassName
	}

	if expandable, known := p.Expandable[class]; !known || expandable {
		return ""
	}

	return fmt.Sprintf("spec.storage.size: the volume %s cannot grow, since its storage class %q does not allow expansion; "+
		"set allowVolumeExpansion on the class if its driver can expand volumes, or set resizeInUseVolumes to false so that only new volumes have the new size",
		name, class)
}

// volumeAnnotations are what is known of a volume: what it remembers, brought up to date by what runs on it.
func (p *planner) volumeAnnotations(name string, live *corev1.PersistentVolumeClaim) map[string]string {
	annotations := map[string]string{}

	for _, key := range []string{naming.AnnotationMemberID, naming.AnnotationImage, naming.AnnotationMajor, naming.AnnotationSnapshot} {
		if value := live.Annotations[key]; value != "" {
			annotations[key] = value
		}
	}

	pod, state := p.Pods[name], p.states[name]
	if pod == nil || state.report == nil || state.report.MemberID == "" {
		return annotations
	}

	annotations[naming.AnnotationMemberID] = state.report.MemberID

	// Only an instance that serves proves that its image suits the data.
	if container := postgresContainer(pod); state.ready && container != nil && state.report.Major != 0 {
		annotations[naming.AnnotationImage] = container.Image
		annotations[naming.AnnotationMajor] = strconv.Itoa(state.report.Major)
	}

	return annotations
}

// made notes that a volume will be there when this pass's actions are done.
func (p *planner) made(claim *corev1.PersistentVolumeClaim) {
	p.Volumes = maps.Clone(p.Volumes)
	if p.Volumes == nil {
		p.Volumes = map[string]*corev1.PersistentVolumeClaim{}
	}

	p.Volumes[claim.Name] = &corev1.PersistentVolumeClaim{}
	p.input.Snapshots = snapshotMarks(map[string]*corev1.PersistentVolumeClaim{claim.Name: claim}, p.input.Snapshots)
}

// snapshotMarks adds those of volumes to others.
func snapshotMarks(volumes map[string]*corev1.PersistentVolumeClaim, others map[string]string) map[string]string {
	marks := map[string]string{}
	maps.Copy(marks, others)

	for name, volume := range volumes {
		if mark := volume.Annotations[naming.AnnotationSnapshot]; mark != "" {
			marks[name] = mark
		}
	}

	return marks
}

// expanding describes the volumes that are growing; empty if none is.
func (f *facts) expanding() string {
	var names []string

	for _, name := range f.members {
		volume := f.Volumes[name]
		if volume == nil || volume.Status.Phase != corev1.ClaimBound {
			continue
		}

		asked, has := volume.Spec.Resources.Requests[corev1.ResourceStorage], volume.Status.Capacity[corev1.ResourceStorage]
		if asked.Cmp(has) > 0 {
			names = append(names, fmt.Sprintf("%s from %s to %s", name, has.String(), asked.String()))
		}
	}

	return strings.Join(names, ", ")
}
