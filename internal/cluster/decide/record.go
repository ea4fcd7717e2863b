package decide

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/cluster/build"
	"github.com/caretaker-dev/caretaker/internal/conditions"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

// The term record is the only arbiter of who leads. The operator makes it, and never writes its content again:
//
//	volumes   record
//	none      term 0, instance 0 may initialize an empty volume
//	one       term 0, that instance goes on with what is on its volume: there is nobody to lose anything to
//	several   refused: any may be behind the others. The user names one by annotation
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

	bootstrap, found := p.bootstrapInstance()
	if !found {
		p.end(conditions.Stalled, v1.ReasonRecordMissing, p.recordRemedy(), afterQuiet)

		return
	}

	p.act(CreateRecord{Record: build.ClusterTerm(p.Cluster, bootstrap), Volumes: slices.Sorted(maps.Keys(p.Volumes))})

	// The rest of this pass goes by what the record will be.
	p.primary = bootstrap
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
}

func (p *planner) bootstrapInstance() (string, bool) {
	switch names := slices.Sorted(maps.Keys(p.Volumes)); len(names) {
	case 0:
		return naming.Instance(p.Cluster.Name, 0), true
	case 1:
		return names[0], true
	default:
		chosen := p.Cluster.Annotations[naming.AnnotationBootstrapFrom]

		return chosen, slices.Contains(names, chosen)
	}
}

func (p *planner) recordRemedy() string {
	hint := ""
	if last := p.Cluster.Status.Primary; last != "" {
		hint = fmt.Sprintf(" (the last primary seen was %s)", last)
	}

	names := slices.Sorted(maps.Keys(p.Volumes))

	return fmt.Sprintf("the term record ClusterTerm/%s is missing while the volumes %s exist: which one holds the latest data is not known%s; "+
		"restore the record, or name the instance to trust: kubectl annotate -n %s cluster.%s %s %s=<instance>",
		naming.ClusterTerm(p.Cluster.Name), strings.Join(names, ", "), hint,
		p.Cluster.Namespace, v1.GroupVersion.Group, p.Cluster.Name, naming.AnnotationBootstrapFrom)
}
