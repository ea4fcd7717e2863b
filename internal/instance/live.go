package instance

import (
	"slices"

	"github.com/caretaker-dev/caretaker/internal/instance/volume"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
)

// diskStatus is the data volume; nil if it cannot be asked.
func (r *runner) diskStatus() *instanceapi.Disk {
	total, free, err := volume.Usage(r.layout.VolumeDir)
	if err != nil {
		return nil
	}

	return &instanceapi.Disk{TotalBytes: total, FreeBytes: free}
}

// protocolStatus is how this instance stands in the protocol; nil while it takes no part.
func (r *runner) protocolStatus() *instanceapi.Protocol {
	p := r.protocolRuns()
	if p == nil {
		return nil
	}

	seen := p.driver.Snapshot()
	status := &instanceapi.Protocol{
		Phase: seen.Phase.String(), Acks: seen.Acks, Authority: seen.Authority.Held,
		PromisesHeld: seen.Authority.Promises, PromisesNeeded: seen.Authority.Needed,
	}
	names := r.applicationNames()
	names[string(seen.Self.ID)] = r.opts.Instance

	for _, voter := range seen.Voters {
		name := names[string(voter)]
		if name == "" {
			name = string(voter)
		}

		status.Voters = append(status.Voters, name)
	}

	slices.Sort(status.Voters)

	return status
}
