package decide

import (
	"fmt"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/conditions"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

// Hibernation stops every instance and keeps the volumes: the replicas first, then the primary, which so finds nobody to
// hand over to. Commits that would wait for a replica meanwhile are not acknowledged. Waking up is nothing but the pods
// being made again: the instances find out among themselves whose volume has the most, and that one leads.
func (p *planner) hibernate() {
	if !p.hibernating() {
		return
	}

	if len(p.Pods) == 0 {
		p.end(conditions.Resting, v1.ReasonHibernated, fmt.Sprintf(
			"hibernated by annotation: no instance runs; remove %s to wake it", naming.AnnotationHibernate), afterQuiet)

		return
	}

	p.stopAll("hibernation")
	p.end(conditions.Waiting, v1.ReasonHibernating, fmt.Sprintf("Hibernating: %d more to be stopped", len(p.Pods)), afterMoving)
}

// stopAll stops the replicas, and the primary once they are gone.
func (p *planner) stopAll(why string) {
	p.taken = true

	for _, name := range sortedKeys(p.Pods) {
		isLast := name != p.primary || len(p.Pods) == 1
		if isLast && p.Pods[name].DeletionTimestamp == nil {
			p.stop(name, why)
		}
	}
}
