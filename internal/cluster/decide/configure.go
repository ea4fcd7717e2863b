package decide

import (
	"fmt"
	"strings"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
)

// Instances read their configuration from the mounted ConfigMap when they start. A running one that answers with another
// hash is given the new one at once, since a mounted ConfigMap takes a minute or more to follow. What PostgreSQL then has
// to say against it stalls the Cluster, with the instances running on.
func (p *planner) configure() {
	for _, name := range append(append([]string{}, p.members...), p.surplus...) {
		report := p.states[name].report
		if report == nil || report.State != instanceapi.StateRunning || p.Pods[name].DeletionTimestamp != nil {
			continue
		}

		if report.ConfigHash != p.hash {
			p.act(PutConfig{Instance: name, Config: p.config})
			p.wait(v1.ReasonConfiguring, fmt.Sprintf("Applying the configuration to %s (%s)", name, p.readiness()))

			continue
		}

		if len(report.ConfigErrors) > 0 {
			p.stall(v1.ReasonInvalidParameters, fmt.Sprintf("PostgreSQL of %s refuses the configuration: %s; correct spec.postgresql",
				name, strings.Join(report.ConfigErrors, "; ")))
		}
	}
}
