package build

import (
	"time"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
)

const (
	// protectedInstances is from how many instances on a commit always waits for a replica. With two, losing one would
	// stop all writes: there the Cluster goes on without, and says so.
	protectedInstances = 3
	// minHeartbeat and maxHeartbeat bound what is of use; a promise of fewer heartbeats would break by itself.
	minHeartbeat      = 100 * time.Millisecond
	maxHeartbeat      = 5 * time.Second
	promiseHeartbeats = 4
)

// Durability is what the user wants when too few replicas are left, or the default. A Cluster that is scaled down does not
// become weaker by that.
func Durability(cluster *v1.Cluster, members int) v1.DataDurability {
	if sync := cluster.Spec.PostgreSQL.Synchronous; sync != nil && sync.DataDurability != "" {
		return sync.DataDurability
	}

	if members >= protectedInstances || members > 1 && cluster.Status.DataDurability == v1.DurabilityRequired {
		return v1.DurabilityRequired
	}

	return v1.DurabilityPreferred
}

// Acks is how many replicas are to acknowledge a commit.
func Acks(cluster *v1.Cluster, members int) int {
	wanted := 1
	if sync := cluster.Spec.PostgreSQL.Synchronous; sync != nil && sync.Number != nil {
		wanted = int(*sync.Number)
	}

	return min(wanted, members-1)
}

// failover is what the instances' protocol goes by.
func failover(in Input) instanceapi.HA {
	members := len(in.Members)
	ha := instanceapi.HA{
		Acks:      max(Acks(in.Cluster, members), 0),
		Preferred: Durability(in.Cluster, members) == v1.DurabilityPreferred,
	}

	timing := in.Cluster.Spec.Failover
	if timing == nil {
		return ha
	}

	var heartbeat time.Duration
	if timing.HeartbeatInterval != nil {
		heartbeat = min(max(timing.HeartbeatInterval.Duration, minHeartbeat), maxHeartbeat)
		ha.HeartbeatMillis = int(heartbeat.Milliseconds())
	}

	if timing.Promise != nil {
		ha.PromiseMillis = int(max(timing.Promise.Duration, promiseHeartbeats*heartbeat).Milliseconds())
	}

	return ha
}
