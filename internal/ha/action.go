package ha

import "time"

// Action is what the runner must do, in the order given. Those with an Op take time and end with Done; only Kill may be
// asked for while another runs, and then that other never reports.
type Action interface{ action() }

// ReadRecord reads the record live; RecordRead or RecordFailed answers.
type ReadRecord struct{}

// CompareAndSwap writes the record if its version is Expect (empty: create it). Swapped answers, within the runner's
// timeout as Unknown.
type CompareAndSwap struct {
	ID     uint64
	Expect string
	Record *Record
	Why    string
}

// Send a message to the instance of that name; without waiting and without a promise that it arrives.
type Send struct {
	To      string
	Message Message
}

// Save writes the state of the volume with fsync, in the order of N; Saved answers.
type Save struct {
	N    uint64
	Disk Disk
}

// StartStandby starts PostgreSQL in recovery, without an upstream.
type StartStandby struct{ Op uint64 }

// StartPrimary starts PostgreSQL read-write on its own timeline, with the setting in place before it starts.
type StartPrimary struct {
	Op   uint64
	Gen  uint64
	Sync Sync
	// Closed: replication only, no path for a client, not even a local one.
	Closed bool
}

// Follow sets the upstream of the running standby.
type Follow struct{ Leader Instance }

// StopReceiving clears primary_conninfo and restore_command and waits until the walreceiver is really gone.
type StopReceiving struct {
	Op uint64
	// NobodySends: the only one who could send has stopped for good. A walreceiver that PostgreSQL was about to start a moment ago
	// would get nothing, and need not be waited for.
	NobodySends bool
}

// WaitReplayEnd waits until all that was received is replayed: all whole records, that is. The tip is the end of the last.
type WaitReplayEnd struct{ Op uint64 }

// ConfigureSync sets synchronous_standby_names durably and reloads. Gen numbers it.
type ConfigureSync struct {
	Gen  uint64
	Sync Sync
}

// Promote ends recovery on exactly this timeline; history files are put in place before, and into the archive if absent.
type Promote struct {
	Op       uint64
	Term     uint64
	Timeline uint32
	Closed   bool
}

// CommitTermMessage commits the term's logical message locally and reports its end; the voters' flush is counted here.
type CommitTermMessage struct {
	Op   uint64
	Term uint64
}

// AdmitClients lets clients in. Took tells of a term that begins, and is nil after a restart in place.
type AdmitClients struct {
	Term uint64
	Took *Takeover
}

// Takeover is why a new primary leads: evidence for people.
type Takeover struct {
	// From is the primary before; Request names the switchover, if it was one.
	From, Request string
	Why           string
	// Heard is when the primary before was last heard here; 0 for never.
	Heard time.Duration
	// Tip where the new timeline begins.
	Tip Tip
}

// Fence cuts the clients off and kills PostgreSQL with all its processes; it must be over by Deadline.
type Fence struct {
	Op       uint64
	Deadline time.Duration
	Why      string
}

// StopFast is a fast shutdown: clients go, the shutdown checkpoint is written and sent. At CutSenders, if a standby has
// all of it, the walsenders that are still behind are terminated, so that one stuck standby cannot hold it up; while none
// has, they are waited for until CutAll, since nobody else could lead. Past Deadline: Done with Failed, and PostgreSQL
// killed. Before all that, Target, who is wanted as the next primary, gets a moment to connect. With SkipArchiving what is not in the archive yet is left to the other instances; else it is tried until CutAll.
type StopFast struct {
	Op         uint64
	CutSenders time.Duration
	CutAll     time.Duration
	Deadline   time.Duration

	Target        MemberID
	SkipArchiving bool
}

// Rewind keeps the divergent WAL aside and runs pg_rewind. The marker is on the disk already.
type Rewind struct {
	Op   uint64
	From Instance
	// Own is the end of the log that diverged, Onto that of the primary's.
	Own, Onto Tip
}

// Discard empties an unusable directory, its divergent WAL kept aside, and makes a new member ID, which Done reports.
type Discard struct{ Op uint64 }

// Reclone copies another node into the empty directory.
type Reclone struct {
	Op   uint64
	From Instance
}

// SetLabel sets the role label of the own pod, and strips the primary label from all others if Primary.
type SetLabel struct{ Primary bool }

// Stopped says that an orderly stop is complete: PID 1 may exit.
type Stopped struct{}

// Halt stops taking part until a person has decided; the condition says why.
type Halt struct{ Reason HaltReason }

// Notice is for the log and the events: something that a person would want to know.
type Notice struct{ Text string }

func (ReadRecord) action()        {}
func (CompareAndSwap) action()    {}
func (Send) action()              {}
func (Save) action()              {}
func (StartStandby) action()      {}
func (StartPrimary) action()      {}
func (Follow) action()            {}
func (StopReceiving) action()     {}
func (WaitReplayEnd) action()     {}
func (ConfigureSync) action()     {}
func (Promote) action()           {}
func (CommitTermMessage) action() {}
func (AdmitClients) action()      {}
func (Fence) action()             {}
func (StopFast) action()          {}
func (Rewind) action()            {}
func (Discard) action()           {}
func (Reclone) action()           {}
func (SetLabel) action()          {}
func (Stopped) action()           {}
func (Halt) action()              {}
func (Notice) action()            {}
