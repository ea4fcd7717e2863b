package scenario

import (
	"fmt"
	"time"

	"github.com/caretaker-dev/caretaker/test/chaos/target"
)

// Activity is what is going on when the fault strikes.
type Activity string

// The activities.
const (
	Steady     Activity = "steady"
	Switchover Activity = "switchover"
	Scaling    Activity = "scaling"
	Restart    Activity = "restart"
	Backup     Activity = "backup"
)

// Role of the instance that is struck, and backed up.
type Role = target.Role

// The roles.
const (
	Primary = target.Primary
	Replica = target.Replica
)

// Expect is what must become of the term.
type Expect string

// The expectations.
const (
	// Either: that writes go on is enough.
	Either Expect = ""
	// Failover: another term.
	Failover Expect = "failover"
	// NoFailover: the same term.
	NoFailover Expect = "no failover"
)

// Case is one fault test.
type Case struct {
	// Instances and Major of the Cluster.
	Instances int
	Major     string
	// Fault by its name, see package fault; done to Victim while Activity is going on.
	Fault    string
	Victim   Role
	Activity Activity
	// Hold is how long the fault lasts.
	Hold time.Duration
	// Max is how long the longest time without an acknowledged write may be, on a machine with nothing else to do.
	Max    time.Duration
	Expect Expect
	// Alone leaves out all clients but the one that ticks, and with a primary that is cut off those that stay with it: a crowd that
	// reconnects all the time needs a good part of a small machine, and the gap is to be the product's.
	Alone bool
	// StorageClass that the volumes need; empty for the usual one.
	StorageClass string
	// Archive: the Cluster has one, and enough in it for a backup to take a while.
	Archive bool
	// Short is part of the set that runs in CI; Long is left out unless long ones are asked for.
	Short, Long bool
	// NotYet says why it is not run.
	NotYet string
}

// Name says it all: "3 instances 17, primary: node-off, steady".
func (c Case) Name() string {
	return fmt.Sprintf("%d-instances-pg%s/%s/%s/%s", c.Instances, c.Major, c.Fault, c.Victim, c.Activity)
}

// The Cluster that most is tested on.
const (
	mainInstances = 3
	mainMajor     = "17"
)

// strike is a row of the table: a fault, and what must come of it in a Cluster of three where nothing else goes on.
type strike struct {
	fault  string
	victim Role
	hold   time.Duration
	max    time.Duration
	expect Expect
}

// strikes on one instance, or on its node.
func strikes() []strike {
	const s = time.Second

	return []strike{
		{"pod-force-delete", Primary, 8 * s, 8 * s, Either}, // its next pod may be back before another leads
		{"pod-delete", Primary, 8 * s, 8 * s, Either},
		{"kill-postgres", Primary, 8 * s, 8 * s, Either},
		{"kill-pid1", Primary, 8 * s, 8 * s, Either},
		{"stop-postgres", Primary, 20 * s, 15 * s, Failover},
		{"stop-pid1", Primary, 20 * s, 15 * s, Failover},
		{"stop-pid1-then", Primary, 20 * s, 15 * s, Failover},
		{"volume-and-primary", Primary, 10 * s, 20 * s, Either},
		{"node-off", Primary, 20 * s, 12 * s, Failover},
		{"node-pause", Primary, 20 * s, 15 * s, Failover},
		{"cut-all", Primary, 20 * s, 12 * s, Failover},
		{"cut-peers", Primary, 20 * s, 15 * s, Either},
		{"cut-in", Primary, 20 * s, 15 * s, Failover},
		{"cut-out", Primary, 20 * s, 15 * s, Failover},
		{"cut-api", Primary, 20 * s, 1 * s, NoFailover},
		{"api-down", Primary, 20 * s, 1 * s, NoFailover},

		{"pod-force-delete", Replica, 8 * s, 1 * s, NoFailover},
		{"kill-postgres", Replica, 8 * s, 1 * s, NoFailover},
		{"stop-postgres", Replica, 15 * s, 1 * s, NoFailover},
		{"stop-pid1", Replica, 15 * s, 1 * s, NoFailover},
		{"node-off", Replica, 20 * s, 1 * s, NoFailover},
		{"node-pause", Replica, 20 * s, 1 * s, NoFailover},
		{"cut-all", Replica, 20 * s, 1 * s, NoFailover},
		{"cut-in", Replica, 20 * s, 1 * s, NoFailover},
		{"cut-out", Replica, 20 * s, 1 * s, NoFailover},
	}
}

// Cases is the table.
func Cases() []Case {
	var cases []Case

	for _, activity := range []Activity{Steady, Switchover, Scaling, Restart, Backup} {
		for _, s := range strikes() {
			if c := s.with(mainInstances, mainMajor, activity); sensible(c) {
				cases = append(cases, c)
			}
		}
	}

	cases = append(cases, Case{
		Instances: mainInstances, Major: mainMajor, Fault: "none", Victim: Primary, Activity: Switchover, Hold: 5 * time.Second,
		Max: 5 * time.Second, Expect: Failover, Short: true,
	}, Case{
		Instances: mainInstances, Major: mainMajor, Fault: "api-down", Victim: Primary, Activity: Steady, Hold: 10 * time.Minute,
		Max: time.Second, Expect: NoFailover, Long: true,
	})

	cases = append(cases, fullVolumes()...)

	return append(append(cases, otherClusters()...), notYet()...)
}

// ownFilesystems is the development cluster's class of volumes that can fill up.
const ownFilesystems = "loop"

// fullVolumes: a primary refuses writes until there is room again, and never ends in a PANIC; a replica's matters to nobody.
func fullVolumes() []Case {
	full := Case{
		Instances: mainInstances, Major: mainMajor, Fault: "disk-full", Victim: Primary, Activity: Steady, StorageClass: ownFilesystems,
		Hold: 10 * time.Second, Max: 30 * time.Second,
	}

	replica := full
	replica.Victim, replica.Max, replica.Expect = Replica, 5*time.Second, NoFailover

	return []Case{full, replica}
}

// with makes a case of a strike. While more goes on than the fault, the time may be longer and a change of primary be wanted.
func (s strike) with(instances int, major string, activity Activity) Case {
	c := Case{
		Instances: instances, Major: major, Fault: s.fault, Victim: s.victim, Activity: activity,
		Hold: s.hold, Max: s.max, Expect: s.expect,
	}

	if activity != Steady {
		c.Max, c.Expect = s.max+10*time.Second, Either
	}

	if s.fault == "api-down" && activity == Switchover {
		// No new primary while it is away; then Kubernetes' own controllers, which lead clients to it, wait for up to a minute before they look again.
		c.Max = s.hold + 70*time.Second
	}

	c.Archive = activity == Backup

	c.Short = activity == Steady && s.victim == Primary && inShortSet(s.fault)

	return c
}

// inShortSet: one of each way in which a primary is found out. That PostgreSQL is killed is among the end-to-end tests.
func inShortSet(fault string) bool {
	switch fault {
	case "pod-force-delete", "kill-pid1", "stop-postgres", "node-off", "cut-all":
		return true
	default:
		return false
	}
}

// sensible: nobody can ask for a switchover while the API server is away, and a replica matters less to one. A new volume has no part in a backup.
func sensible(c Case) bool {
	if c.Activity == Steady {
		return true
	}

	if c.Fault == "api-down" {
		return c.Activity == Switchover || c.Activity == Backup
	}

	if c.Fault == "volume-and-primary" && (c.Activity == Scaling || c.Activity == Backup) {
		return false
	}

	return c.Victim == Primary || (c.Fault != "cut-in" && c.Fault != "cut-out")
}

// otherClusters: two instances, and the oldest and newest major that there are images of.
func otherClusters() []Case {
	var cases []Case

	add := func(instances int, major string, faults ...string) {
		for _, s := range strikes() {
			for _, fault := range faults {
				if s.fault != fault {
					continue
				}

				c := s.with(instances, major, Steady)
				c.Short = false

				if instances == 2 && s.victim == Replica {
					// The primary waits for its only replica until it may go on without.
					c.Max = 10 * time.Second
				}

				cases = append(cases, c)
			}
		}
	}

	add(2, mainMajor, "pod-force-delete", "kill-postgres", "kill-pid1", "node-off", "cut-all", "api-down", "stop-postgres")
	add(mainInstances, "15", "pod-force-delete", "kill-postgres", "node-off", "cut-all")
	add(mainInstances, "18", "pod-force-delete", "kill-postgres", "node-off", "cut-all")

	return cases
}

func notYet() []Case {
	row := func(fault string, activity Activity, why string) Case {
		return Case{Instances: mainInstances, Major: mainMajor, Fault: fault, Victim: Primary, Activity: activity, NotYet: why}
	}

	return []Case{
		row("clock-jump", Steady, "not possible here: containers share the machine's wall clock, and time namespaces do not move it"),
	}
}
