package instance

import (
	"fmt"
	"time"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/instance/volume"
)

// The rule, from top to bottom; the first that applies decides.
//
//	the lock is another's                             wait for it
//	no configuration, no programs, wrong major        wait, or fail
//	a step failed a moment ago                        wait until it may be tried again
//	the record has a term                             take part
//	term 0, and it names this instance: no data       bootstrap
//	                                    data          adopt
//	this volume took part before                      take part, as far as one can without a record
//	otherwise                                         wait for the record
//
// Nothing of this starts PostgreSQL as a server of the Cluster: once an instance takes part, the protocol decides.

// Do is what to do next.
type Do string

// What can be done next.
const (
	// DoWait: nothing, for Reason.
	DoWait Do = "Wait"
	// DoFail: nothing, and it will not pass by itself.
	DoFail Do = "Fail"
	// DoBootstrap: make the data of a new Cluster.
	DoBootstrap Do = "Bootstrap"
	// DoAdopt: take existing data as the Cluster's and write the first term.
	DoAdopt Do = "Adopt"
	// DoTakePart: leave everything else to the protocol.
	DoTakePart Do = "TakePart"
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
	// RetryAt is when a step may be tried again; Failed is the one that failed last, Bootstrap how the last bootstrap did.
	RetryAt   time.Time
	Failed    string
	Bootstrap error
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
	// TookPart: the volume took part in the protocol before, and may be pledged.
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

	record := f.Record

	switch {
	case f.Now.Before(f.RetryAt):
		return decideFailed(f)
	case record.Known && record.Spec.Term > 0:
		return Step{Do: DoTakePart}
	case record.Known && record.Spec.Bootstrap == f.Instance:
		return decideFirstTerm(f)
	case f.Data.TookPart && (record.Known || record.Error != nil):
		return Step{Do: DoTakePart}
	default:
		return awaitRecord(record)
	}
}

// outsideProtocol: what the others know of this volume would not hold for a PostgreSQL that is started without them.
func outsideProtocol(err error) Step {
	return fail("OutsideProtocol", "this instance cannot take part in failover, and does not start without: %v", err)
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

func decideFailed(f Facts) Step {
	if f.Bootstrap != nil {
		return fail("BootstrapFailed", "%v; correct what the message names, such as a Secret or spec.bootstrap: it is tried again "+
			"every few seconds. What cannot be corrected in a Cluster that exists is in one that is made again", f.Bootstrap)
	}

	return wait("StepFailed", "%s; it is tried again in a moment", f.Failed)
}

func decideFirstTerm(f Facts) Step {
	switch {
	case f.Data.Dirty:
		return fail("UnusableData", "these data were being rewound, or copied, when the instance ended, and are never started: "+
			"name another instance to go on from")
	case f.Data.Present:
		return Step{Do: DoAdopt}
	default:
		return Step{Do: DoBootstrap}
	}
}

func awaitRecord(record RecordFacts) Step {
	switch {
	case record.Known && record.Spec.Bootstrap == "", record.Missing:
		return wait("RecordMissing", "the ClusterTerm of this Cluster is not there, or names nobody: the operator makes it, or a person says "+
			"which instance to go on from")
	case record.Known:
		return wait("WaitingForPrimary", "%s makes the data of the Cluster", record.Spec.Bootstrap)
	case record.Error == nil:
		return wait("ReadingRecord", "the ClusterTerm is being read")
	default:
		return wait("APIUnreachable", "the ClusterTerm cannot be read, and nothing starts without it: %v", record.Error)
	}
}
