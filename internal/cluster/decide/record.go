package decide

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/cluster/build"
	"github.com/caretaker-dev/caretaker/internal/conditions"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

// The term record is the only arbiter of who leads. The operator makes it, and never writes it once it has a term:
//
//	volumes   record
//	none      term 0, instance 0 may initialize an empty volume
//	one       term 0, that instance goes on with what is on its volume: there is nobody to lose anything to
//	several   term 0, nobody: any may be behind the others. A primary that serves writes the record again by itself;
//	          if none does, the user names an instance by annotation
//
// What an earlier Cluster of the same name left to the garbage collector is waited for.
func (p *planner) record() {
	if p.Record != nil {
		p.keepRecord()

		return
	}

	for _, name := range slices.Sorted(maps.Keys(p.Volumes)) {
		if volume := p.Volumes[name]; volume.DeletionTimestamp != nil || build.IsLeftover(p.Cluster, volume) {
			p.end(conditions.Waiting, v1.ReasonCreatingVolumes,
				fmt.Sprintf("Waiting: the volume %s of an earlier Cluster is being deleted", name), afterBlocked)

			return
		}
	}

	if p.inPlace != nil && p.inPlace.Step == v1.InPlaceRecovering {
		p.writeRecord(p.newRecord())

		return
	}

	p.writeRecord(build.ClusterTerm(p.Cluster, p.bootstrapInstance()))
}

// writeRecord writes a record of term 0; the rest of this pass goes by it.
func (p *planner) writeRecord(record *v1.ClusterTerm) {
	p.act(CreateRecord{Record: record, Volumes: slices.Sorted(maps.Keys(p.Volumes))})

	p.primary, p.input.First = record.Spec.Bootstrap, record.Spec.Bootstrap
	if p.primary == "" {
		p.awaitPrimary()
	}
}

// awaitPrimary waits for the primary to write the record that was missing, or for the user.
func (p *planner) awaitPrimary() {
	for _, name := range p.members {
		if report := p.states[name].report; report != nil && report.Role == instanceapi.RolePrimary && report.State == instanceapi.StateRunning {
			p.end(conditions.Waiting, v1.ReasonRecordMissing,
				fmt.Sprintf("Waiting: the primary %s writes the missing term record again (%s)", name, p.readiness()), afterMoving)

			return
		}
	}

	p.end(conditions.Stalled, v1.ReasonRecordMissing, p.recordRemedy(), afterQuiet)
}

func (p *planner) keepRecord() {
	if p.Record.DeletionTimestamp != nil || build.IsLeftover(p.Cluster, p.Record) {
		p.end(conditions.Waiting, v1.ReasonRecordMissing, "Waiting: the term record of an earlier Cluster is being deleted", afterBlocked)

		return
	}

	wanted := build.ClusterTerm(p.Cluster, "")
	if patch, differs := metadataPatch(p.Record, wanted); differs {
		p.act(patch)
	}

	if spec := p.Record.Spec; spec.Term > 0 || spec.Bootstrap != "" {
		return
	}

	bootstrap := p.bootstrapInstance()
	if bootstrap == "" {
		p.awaitPrimary()

		return
	}

	named := p.Record.DeepCopy()
	named.Spec.Bootstrap = bootstrap
	p.writeRecord(named)
}

// bootstrapInstance is whose data the Cluster goes on from; empty if only the user can know.
func (p *planner) bootstrapInstance() string {
	switch names := slices.Sorted(maps.Keys(p.Volumes)); len(names) {
	case 0:
		return p.members[0]
	case 1:
		return names[0]
	default:
		if chosen := p.Cluster.Annotations[naming.AnnotationBootstrapFrom]; slices.Contains(names, chosen) {
			return chosen
		}

		return ""
	}
}

func (p *planner) recordRemedy() string {
	hint := ""
	if last := p.Cluster.Status.Primary; last != "" {
		hint = fmt.Sprintf(" (the last primary seen was %s)", last)
	}

	names := slices.Sorted(maps.Keys(p.Volumes))

	return fmt.Sprintf("the term record ClusterTerm/%s was deleted while the volumes %s exist, and no primary serves: which one holds the latest data is not known%s; "+
		"name the instance to trust: kubectl annotate -n %s cluster.%s %s %s=<instance>",
		naming.ClusterTerm(p.Cluster.Name), strings.Join(names, ", "), hint,
		p.Cluster.Namespace, v1.GroupVersion.Group, p.Cluster.Name, naming.AnnotationBootstrapFrom)
}
