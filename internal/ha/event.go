package ha

import "time"

// Event is something that happened, at a time of CLOCK_BOOTTIME, which runs on while the machine sleeps.
type Event struct {
	At    time.Duration
	Input Input
}

// Input is what an Event carries.
type Input interface{ input() }

// Tick makes time pass; the runner sends one at least every 50 to 100 ms.
type Tick struct{}

// Configured carries new settings.
type Configured struct{ Settings Settings }

// RecordRead is the answer of a read. A nil Record means that the object does not exist.
type RecordRead struct {
	// Sent is when the read was sent.
	Sent    time.Duration
	Version string
	Record  *Record
	// Live reads came from the API server's store. Others (a watch) may be stale and only cause a live read.
	Live bool
}

// RecordFailed is a read without an answer.
type RecordFailed struct{}

// Outcome of a compare-and-swap.
type Outcome int

// Outcomes. Unknown: no answer; it may have been applied, or may still be.
const (
	Applied Outcome = iota
	Conflict
	Unknown
)

// Swapped is the outcome of a CompareAndSwap.
type Swapped struct {
	ID      uint64
	Outcome Outcome
	// Version after it was applied.
	Version string
}

// Received is a message of a peer, authenticated by its certificate.
type Received struct {
	From    Instance
	Message Message
}

// Saved says that all of the Save actions up to N are on the disk (fsynced, the directory too).
type Saved struct{ N uint64 }

// Done ends an operation that an action with the same Op began.
type Done struct {
	Op uint64
	// Failed says why it failed; empty if it did not.
	Failed string
	// Untouched: it failed before it changed anything, so that a Rewind that did leaves the data as good as they were.
	Untouched bool
	// Tip of the log: after a start, the end of recovery; after an orderly stop, with the shutdown checkpoint; after
	// WaitReplayEnd, that of the last whole record; after CommitTermMessage, the message's end.
	Tip Tip
	// Member is the new member ID after a Discard.
	Member MemberID
}

// Sender is a walsender of this node, as PostgreSQL shows it.
type Sender struct {
	// Member is the standby's application_name.
	Member MemberID
	// Flush is what the standby reported flushed; 0 before its first report.
	Flush uint64
	// Gen is the newest ConfigureSync that this walsender has loaded.
	Gen uint64
}

// Observed is the answer of the local SQL check.
type Observed struct {
	// Asked is when the check began.
	Asked time.Duration
	// Tip is flushed (primary) or flushed by the walreceiver and replayed (standby). On a primary it is read after the
	// senders were.
	Tip Tip
	// Senders of a primary.
	Senders []Sender
	// CheckpointerGen is the newest ConfigureSync that the checkpointer has loaded: it switches waiting on and off.
	CheckpointerGen uint64
	// Copied: somebody copies this primary, or catches up behind it under no name.
	Copied bool
	// Receiving: a walreceiver is connected.
	Receiving bool
}

// ClientsGone says that a PostgreSQL which StopFast stops has no client's backend left. It takes no more clients.
type ClientsGone struct{ Op uint64 }

// Exited says that PostgreSQL ended without the protocol having asked for it, with all its processes.
type Exited struct {
	// Ordered: a restart in place was asked for.
	Ordered bool
}

// Ended says that no process of that run of a member's PID 1 is left, which stays true for ever: the kubelet reported the
// container terminated that this very run was in. It says nothing of a later run on the same volume. The runner repeats
// it while the record names that run.
type Ended struct {
	Member MemberID
	Run    uint64
	Seen   time.Duration
}

// Switchover asks the primary to hand over in an orderly way; Target may be empty.
type Switchover struct {
	Request string
	Target  MemberID
}

// HandOver asks the primary's PID 1 to give up its term because its PostgreSQL is, or will be, out of order.
type HandOver struct{ Reason string }

// ForceTerm asks a voter for a term although the primary may still be heard.
type ForceTerm struct{ Reason string }

// Shutdown is an orderly stop of this pod.
type Shutdown struct{}

// Broken says that streaming cannot go on from what this standby has (the upstream no longer has the WAL).
type Broken struct{ Reason string }

func (Tick) input()         {}
func (Configured) input()   {}
func (RecordRead) input()   {}
func (RecordFailed) input() {}
func (Swapped) input()      {}
func (Received) input()     {}
func (Saved) input()        {}
func (Done) input()         {}
func (ClientsGone) input()  {}
func (Observed) input()     {}
func (Exited) input()       {}
func (Ended) input()        {}
func (Switchover) input()   {}
func (HandOver) input()     {}
func (ForceTerm) input()    {}
func (Shutdown) input()     {}
func (Broken) input()       {}
