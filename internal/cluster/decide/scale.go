package decide

import (
	"fmt"
	"maps"
	"slices"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
)

// Scaling up is only that there are more members. Scaling down removes one member after the other, the highest first
// and the primary never: stop its pod in an orderly way, wait until it is gone, delete its volume. The volume must go:
// a member that comes back after it was left behind would be a stranger with an old copy.
//
// Nothing is removed while the primary does not serve: then what looks surplus may be the best copy there is.
func (p *planner) scaleDown() {
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
	case pod != nil && pod.DeletionTimestamp == nil:
		p.stop(name, "scaling down")
	case pod == nil && volume != nil && volume.DeletionTimestamp == nil:
		p.act(DeleteVolume{Name: name, UID: volume.UID})
	}

	p.taken = true
	p.wait(v1.ReasonScalingDown, fmt.Sprintf("Scaling down: %s is being removed (%s)", name, p.readiness()))
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
