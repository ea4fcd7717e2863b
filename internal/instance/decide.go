package instance

import (
	"fmt"
	"time"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/instance/volume"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
)

// The rule, from top to bottom; the first that applies decides.
//
//	the lock is another's                             wait for it
//	no configuration, no programs, wrong major        wait, or fail
//	PostgreSQL runs                                   keep it, unless the record gives this member another role
//	its data are marked as unusable                   wait for the protocol to discard them
//	it ended a moment ago                             wait until it may start again
//	the record is unreadable or missing               wait
//	term 0, I am the bootstrap: no data               bootstrap
//	                            data                  adopt
//	term 0, another is                                wait
//	the volume took part in the protocol              fail: the protocol alone may start it
//	the record names this member: for another pod     claim
//	                              a standby's data    promote
//	                              otherwise           start as primary
//	another member, not established                   wait
//	                no data                           clone
//	                data of another system            fail
//	                its WAL is gone on the primary    clone again, within the budget
//	                otherwise                         start as standby
//
// Nothing starts read-write but by a record that this process has read live and that names this volume and this pod.

// Do is what to do next.
type Do string

// What can be done next.
const (
	// DoWait: nothing, for Reason.
	DoWait Do = "Wait"
	// DoFail: nothing, and it will not pass by itself.
	DoFail Do = "Fail"
	// DoKeep: PostgreSQL runs as it should.
	DoKeep Do = "Keep"
	// DoStop: PostgreSQL must not go on in its role.
	DoStop Do = "Stop"
	// DoRestart: an orderly restart was asked for.
	DoRestart Do = "Restart"
	// DoBootstrap: make the data of a new Cluster.
	DoBootstrap Do = "Bootstrap"
	// DoAdopt: take existing data as the Cluster's and write the first term.
	DoAdopt Do = "Adopt"
	// DoClaim: write this pod into the record of the term that this member holds.
	DoClaim Do = "Claim"
	// DoPromote: this member leads, but its data are a standby's.
	DoPromote Do = "Promote"
	// DoClone: copy the primary.
	DoClone Do = "Clone"
	// DoReclone: throw the data away and copy the primary.
	DoReclone Do = "Reclone"
	// DoStartPrimary and DoStartStandby start PostgreSQL.
	DoStartPrimary Do = "StartPrimary"
	DoStartStandby Do = "StartStandby"
)

// Step is a decision.
type Step struct {
	Do Do
	// Reason in CamelCase and Message for people, when waiting or failed.
	Reason  string
	Message string
}

// Facts are everything that a decision depends on.
type Facts struct {
	Now time.Time
	// Instance and PodUID are who we are, Member who lives on the volume.
	Instance, PodUID, Member string
	// LockError says why the volume's lock is not ours; nil if it is.
	LockError error
	// ConfigError says why there is no usable configuration; ToolsError why there are no programs.
	ConfigError, ToolsError error
	// WantMajor is the Cluster's major version, 0 if open; ImageMajor is the programs'.
	WantMajor, ImageMajor int
	Data                  DataFacts
	Record                RecordFacts
	Server                ServerFacts
	Clone                 CloneFacts
	// RestartAsked: an orderly restart was asked for.
	RestartAsked bool
}

// DataFacts are what is in PGDATA.
type DataFacts struct {
	volume.Data
	// Error says why PGDATA could not be looked at.
	Error error
	// SystemID of the data.
	SystemID string
	// IsStandby: written by a standby last, or would start as one.
	IsStandby bool
	// Dirty: a rewind or a copy was begun and did not end. The protocol discards such data; nothing else touches them.
	Dirty bool
	// TookPart: the volume has a part in the protocol, and may be pledged. Outside of it nothing of it is started.
	TookPart bool
}

// RecordFacts are what is known of the term record.
type RecordFacts struct {
	// Error of the last read, if the record is not known; term.ErrMissing has Missing set.
	Error   error
	Missing bool
	// Known: Spec was read live by this process.
	Known bool
	Spec  postgresqlv1.ClusterTermSpec
}

// ServerFacts are what PostgreSQL does.
type ServerFacts struct {
	Up bool
	// Role it was started in.
	Role instanceapi.Role
	// RetryAt is when it may start again after it ended; LastWords is what it said.
	RetryAt   time.Time
	LastWords string
	// Ends in a row without having been up for long.
	Ends int
	// Failed is the step that failed last, to be tried again at RetryAt; empty if it was PostgreSQL that ended.
	Failed string
}

// CloneFacts are what is known of making data.
type CloneFacts struct {
	// RetryAt is when the next attempt may begin; Error is how the last one ended, Reason its name.
	RetryAt time.Time
	Error   error
	Reason  string
	// Lost says why this standby cannot go on from its data; empty if it can.
	Lost string
	// MayReclone: the budget allows to clone again.
	MayReclone bool
}

func wait(reason, format string, args ...any) Step {
	return Step{Do: DoWait, Reason: reason, Message: fmt.Sprintf(format, args...)}
}

func fail(reason, format string, args ...any) Step {
	return Step{Do: DoFail, Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// Decide says what to do next.
func Decide(f Facts) Step {
	if step, ok := decideGround(f); ok {
		return step
	}

	if f.Server.Up {
		return decideRunning(f)
	}

	if f.Data.Dirty {
		return wait("UnusableData", "these data were being rewound, or copied, when the instance ended, and are never started: "+
			"they are copied anew once the ClusterTerm can be read and failover is on, or after this instance's volume was deleted")
	}

	if f.Now.Before(f.Server.RetryAt) {
		return decideEnded(f)
	}

	if step, ok := decideRecord(f); ok {
		return step
	}

	if f.Record.Spec.Term == 0 {
		return decideFirstTerm(f)
	}

	if f.Data.TookPart {
		return outsideProtocol("its configuration does not ask for failover, and its volume took part in it")
	}

	if isPrimary(f) {
		return decidePrimary(f)
	}

	return decideStandby(f)
}

// outsideProtocol: what the others know of this volume would not hold for a PostgreSQL that is started without them.
func outsideProtocol(why string) Step {
	return fail("OutsideProtocol", "this instance cannot take part in failover, and does not start without: %s", why)
}

// decideGround is about what everything else stands on.
func decideGround(f Facts) (Step, bool) {
	switch {
	case f.LockError != nil:
		return wait("VolumeLocked", "%v", f.LockError), true
	case f.ConfigError != nil:
		return wait("NoConfiguration", "%v", f.ConfigError), true
	case f.ToolsError != nil:
		return fail("NoPostgreSQL", "%v", f.ToolsError), true
	case f.WantMajor != 0 && f.ImageMajor != f.WantMajor:
		return fail("ImageMajorMismatch", "the image has PostgreSQL %d, the Cluster has %d: use an image of major version %d",
			f.ImageMajor, f.WantMajor, f.WantMajor), true
	case f.Data.Error != nil:
		return fail("UnusableData", "%v", f.Data.Error), true
	case f.Data.Present && f.Data.Major != f.ImageMajor:
		return fail("ImageMajorMismatch", "the image has PostgreSQL %d, the data are of %d: use an image of major version %d",
			f.ImageMajor, f.Data.Major, f.Data.Major), true
	default:
		return Step{}, false
	}
}

func isPrimary(f Facts) bool {
	holder := f.Record.Spec.Primary

	return holder != nil && f.Member != "" && holder.MemberID == f.Member
}

// decideRunning: a record that cannot be read changes nothing for a server that runs.
func decideRunning(f Facts) Step {
	known := f.Record.Known && f.Record.Spec.Term > 0

	switch {
	case known && f.Server.Role == instanceapi.RolePrimary && !isPrimary(f):
		return Step{Do: DoStop, Message: "another member leads the Cluster"}
	case known && f.Server.Role == instanceapi.RoleReplica && isPrimary(f):
		return Step{Do: DoStop, Message: "this member leads the Cluster"}
	case f.Clone.Lost != "" && f.Server.Role == instanceapi.RoleReplica && f.Clone.MayReclone && known && f.Record.Spec.Established:
		return Step{Do: DoStop, Message: f.Clone.Lost}
	case f.RestartAsked:
		return Step{Do: DoRestart}
	default:
		return Step{Do: DoKeep}
	}
}

// endsUntilFailed is how many failed starts in a row make it a failure rather than an incident.
const endsUntilFailed = 3

func decideEnded(f Facts) Step {
	if f.Server.Failed != "" {
		return wait("StepFailed", "%s; it is tried again in a moment", f.Server.Failed)
	}

	if f.Server.Ends >= endsUntilFailed {
		return fail("PostgreSQLFails", "PostgreSQL ended %d times in a row; it is started again in a moment. It said: %s",
			f.Server.Ends, f.Server.LastWords)
	}

	return wait("PostgreSQLEnded", "PostgreSQL ended and is started again in a moment. It said: %s", f.Server.LastWords)
}

func decideRecord(f Facts) (Step, bool) {
	switch {
	case f.Record.Known:
		return Step{}, false
	case f.Record.Error == nil:
		return wait("ReadingRecord", "the ClusterTerm is being read"), true
	case f.Record.Missing:
		return wait("RecordMissing", "the ClusterTerm of this Cluster does not exist: the operator makes it"), true
	default:
		return wait("APIUnreachable", "the ClusterTerm cannot be read, and nothing starts without it: %v", f.Record.Error), true
	}
}

func decideFirstTerm(f Facts) Step {
	bootstrap := f.Record.Spec.Bootstrap

	switch {
	case bootstrap == "":
		return wait("RecordMissing", "the ClusterTerm of this Cluster was lost, and names no instance to go on from")
	case bootstrap != f.Instance:
		return wait("WaitingForPrimary", "%s makes the data of the Cluster", bootstrap)
	case f.Data.Present:
		return Step{Do: DoAdopt}
	case f.Now.Before(f.Clone.RetryAt):
		return fail("BootstrapFailed", "%v; it is tried again later. Unless that helps, delete the Cluster and make it again",
			f.Clone.Error)
	default:
		return Step{Do: DoBootstrap}
	}
}

func decidePrimary(f Facts) Step {
	record := f.Record.Spec

	switch {
	case !f.Data.Present:
		return fail("DataLost", "the ClusterTerm names this volume as the primary's, but it holds no data: restore a backup, "+
			"or make the Cluster again")
	case record.SystemID != "" && f.Data.SystemID != record.SystemID:
		return systemMismatch(f)
	case record.Primary.PodUID != f.PodUID || record.Primary.Name != f.Instance:
		return Step{Do: DoClaim}
	case f.Data.IsStandby:
		return Step{Do: DoPromote}
	default:
		return Step{Do: DoStartPrimary}
	}
}

func systemMismatch(f Facts) Step {
	return fail("SystemIDMismatch", "the data have the system identifier %s, the Cluster has %s: they are another database's. "+
		"Delete this instance's volume to have it copied anew", f.Data.SystemID, f.Record.Spec.SystemID)
}

func decideStandby(f Facts) Step {
	record := f.Record.Spec

	switch {
	case record.Primary == nil || !record.Established:
		return wait("WaitingForPrimary", "the primary of term %d is not established yet", record.Term)
	case record.Primary.Name == f.Instance:
		return fail("PrimaryVolumeLost", "the ClusterTerm names member %s on %s as the primary, but this volume is member %s's: "+
			"bring the volume back, or name an instance to go on from with the annotation caretaker.dev/bootstrap-from "+
			"after deleting the ClusterTerm", record.Primary.MemberID, record.Primary.Name, f.Member)
	case !f.Data.Present && f.Now.Before(f.Clone.RetryAt):
		return wait(f.Clone.Reason, "%v; it is tried again in a moment", f.Clone.Error)
	case !f.Data.Present:
		return Step{Do: DoClone}
	case record.SystemID != "" && f.Data.SystemID != record.SystemID:
		return systemMismatch(f)
	case f.Clone.Lost != "" && f.Clone.MayReclone:
		return Step{Do: DoReclone, Message: f.Clone.Lost}
	default:
		return Step{Do: DoStartStandby}
	}
}
