package decide

import (
	"fmt"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/conditions"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

// Hibernation stops every instance and keeps the volumes: the primary first, in an orderly way, so that the replicas
// receive all that it wrote; then the replicas together. Waking up is nothing but the pods being made again.
func (p *planner) hibernate() {
	if !p.hibernating() {
		return
	}

	if len(p.Pods) == 0 {
		p.end(conditions.Resting, v1.ReasonHibernated, fmt.Sprintf(
			"hibernated by annotation: no instance runs, the volumes are kept; set %s to off to wake it", naming.AnnotationHibernate), afterQuiet)

		return
	}

	p.taken = true

	if pod := p.Pods[p.primary]; pod != nil {
		if pod.DeletionTimestamp == nil {
			p.stop(p.primary, "hibernation, the primary first")
		}

		p.end(conditions.Waiting, v1.ReasonHibernating, fmt.Sprintf("Hibernating: the primary %s is being stopped", p.primary), afterMoving)

		return
	}

	for _, name := range sortedKeys(p.Pods) {
		if p.Pods[name].DeletionTimestamp == nil {
			p.stop(name, "hibernation")
		}
	}

	p.end(conditions.Waiting, v1.ReasonHibernating, fmt.Sprintf("Hibernating: %d more to be stopped", len(p.Pods)), afterMoving)
}
