package decide

import (
	"fmt"
	"maps"
	"slices"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

// Scaling up is only that there are more members. Scaling down removes one member after the other, the highest first:
//
//	it leads           it hands over to one that stays
//	it is a voter      waited for: it is no peer of the others any more, so the primary takes it out of the record, once
//	                   no commit depends on it
//	its pod runs       stopped in an orderly way
//	its pod is gone    its volume is deleted: a member that comes back later would be a stranger with an old copy
//
// Nothing is removed while the primary does not serve: then what looks surplus may be the best copy there is.
func (p *planner) scaleDown() {
	if len(p.heirs) > 0 {
		p.replaceSurplusPrimary()

		return
	}

	if len(p.surplus) == 0 {
		return
	}

	name := p.surplus[0]
	pod, volume := p.Pods[name], p.Volumes[name]

	if !p.states[p.primary].ready {
		p.wait(v1.ReasonScalingDown, fmt.Sprintf("Waiting: %s is removed when the primary %s serves again; %s",
			name, p.primary, p.troubleOf(p.primary)))

		return
	}

	switch {
	case p.taken:
	case p.isVoter(name):
		p.wait(v1.ReasonScalingDown, fmt.Sprintf("Scaling down: %s is removed as soon as no commit depends on it (%s)", name, p.readiness()))
	case pod != nil && pod.DeletionTimestamp == nil:
		p.stop(name, "scaling down")
	case pod == nil && volume != nil && volume.DeletionTimestamp == nil:
		p.act(DeleteVolume{Name: name, UID: volume.UID})
	}

	p.taken = true
	p.wait(v1.ReasonScalingDown, fmt.Sprintf("Scaling down: %s is being removed (%s)", name, p.readiness()))
}

// replaceSurplusPrimary has a primary that is one too many hand over to an instance that stays.
func (p *planner) replaceSurplusPrimary() {
	i := slices.IndexFunc(p.heirs, func(name string) bool { return p.states[name].ready })
	if i < 0 {
		p.wait(v1.ReasonScalingDown, fmt.Sprintf("Waiting: the primary %s is removed when one that stays can lead; %s", p.primary, p.troubleOf(p.heirs[0])))

		return
	}

	p.handOver(p.heirs[i], "is one too many")
}

// isVoter says whether the record counts on what lives on an instance's volume.
func (p *planner) isVoter(name string) bool {
	if p.Record == nil || p.Volumes[name] == nil {
		return false
	}

	return slices.Contains(p.Record.Spec.Voters, p.Volumes[name].Annotations[naming.AnnotationMemberID]) ||
		slices.Contains(p.Record.Spec.Voters, p.memberID(name))
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
