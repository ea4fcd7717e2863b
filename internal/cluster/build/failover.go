package build

import "github.com/caretaker-dev/caretaker/internal/instanceapi"

// protectedInstances is from how many instances on a commit always waits for a replica. With two, losing one would stop
// all writes: there the Cluster goes on without, and says so.
const protectedInstances = 3

// failover is what the instances' protocol goes by.
func failover(in Input) *instanceapi.HA {
	ha := &instanceapi.HA{Preferred: len(in.Members) < protectedInstances}
	if len(in.Members) > 1 {
		ha.Acks = 1
	}

	return ha
}
