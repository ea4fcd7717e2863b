package ha

import (
	"slices"
	"time"
)

// Phase of an instance. The table in docs/concepts/ha-protocol.md says what each allows.
type Phase int

// Phases.
const (
	// Idle: PostgreSQL is stopped, and its role not decided.
	Idle Phase = iota
	// Starting as a standby.
	Starting
	// Standby: in recovery, with or without an upstream.
	Standby
	// Promoting: named candidate, recovery is ending.
	Promoting
	// Establishing: read-write and closed; waits for acknowledgements, the record, and the old primary's end.
	Establishing
	// Restarting in place, in the term that it holds.
	Restarting
	// Gated: restarted in place and closed until the voters have what recovery brought to light.
	Gated
	// Primary: clients are in.
	Primary
	// Stopping in an orderly way.
	Stopping
	// Resigned: stopped in an orderly way or given up; hands its term over.
	Resigned
	// Fencing: all processes are being killed.
	Fencing
	// Rewinding onto an established primary.
	Rewinding
	// Cloning under a new member ID.
	Cloning
	// Halted until the record makes sense again.
	Halted
	// Gone: stopped in an orderly way.
	Gone
)

// String is the phase's name.
func (p Phase) String() string {
	return [...]string{
		"Idle", "Starting", "Standby", "Promoting", "Establishing", "Restarting", "Gated", "Primary", "Stopping",
		"Resigned", "Fencing", "Rewinding", "Cloning", "Halted", "Gone",
	}[p]
}

func (p Phase) is(one ...Phase) bool { return slices.Contains(one, p) }

// HaltReason is why an instance takes no part.
type HaltReason string

// Halt reasons.
const (
	// RecordBehind: the record is older than one that this volume has seen (etcd restored from a backup).
	RecordBehind HaltReason = "RecordBehind"
	// VolumeBehind: the record says that this volume led a term which it knows nothing of (volume restored).
	VolumeBehind HaltReason = "VolumeBehind"
	// OtherDatabase: the record names another system identifier.
	OtherDatabase HaltReason = "OtherDatabase"
)

// Timing of the protocol.
type Timing struct {
	// Heartbeat interval.
	Heartbeat time.Duration
	// Promise is for how long a reply to a heartbeat promises not to pledge.
	Promise time.Duration
	// APIFresh is for how long a live read of the record gives authority.
	APIFresh time.Duration
	// Missed heartbeats before a voter suspects.
	Missed int
	// RemoveAfter is how long a voter must be silent before it is taken out of the voters.
	RemoveAfter time.Duration
	// DegradeAfter is how long too few voters must be silent before a preferred Cluster goes on without.
	DegradeAfter time.Duration
	// StopTimeout of the fast shutdown of a switchover.
	StopTimeout time.Duration
	// Establish is how long a server may wait, closed, for voters whose logs do not grow; the first candidate, that is.
	Establish time.Duration
	// Deaths of PostgreSQL within ten minutes after which a primary hands over; 0 for never.
	Deaths int
}

// DefaultTiming is the product's.
func DefaultTiming() Timing {
	return Timing{
		Heartbeat: 500 * time.Millisecond, Promise: 3 * time.Second, APIFresh: 2 * time.Second, Missed: 3,
		RemoveAfter: 10 * time.Second, DegradeAfter: 4500 * time.Millisecond, StopTimeout: 5 * time.Second,
		Establish: time.Minute, Deaths: 5,
	}
}

// Settings come from the Cluster.
type Settings struct {
	// Peers are the names of the other instances.
	Peers []string
	// Acks (W) wanted; 0 is asynchronous.
	Acks int
	// Preferred: go on without acknowledgements rather than wait for them.
	Preferred bool
	// SystemID of the data on this volume.
	SystemID string
	Timing   Timing

	off guard // guards removed, by tests only
}

// Disk is this instance's state on its volume. It is written by Save only.
type Disk struct {
	Member MemberID
	// Pledged is the highest term pledged to: it streams from, and acknowledges, no lower one.
	Pledged uint64
	// Led is the highest term it was promoted in; Established that it saw established, Opened that it opened in,
	// Resigned that it will never serve in again.
	Led, Established, Opened, Resigned uint64
	// TookDying is the term in which it took over from a primary whose PostgreSQL died again and again; 0 for none.
	TookDying uint64
	// Seen is the highest Seq of the record that it has seen.
	Seen uint64
	// Promised is the longest promise that may hold since it was given; 0 on a volume from before this was kept.
	Promised time.Duration
	// Sync is what its PostgreSQL may have loaded when it was last read-write.
	Sync Sync
	// Dirty: pg_rewind or a clone was begun and did not end; the directory is never started.
	Dirty bool
	// Empty: there is no data yet.
	Empty bool
}

func (d Disk) clone() Disk {
	d.Sync = d.Sync.clone()

	return d
}

// Peer is another instance.
type Peer struct {
	Name string
	ID   MemberID
	// Held is until when its promise holds, counted from our sending; HeldFor is how long that one was asked for.
	Held, HeldFor time.Duration
	// Answered is when it last answered a heartbeat with a promise.
	Answered time.Duration
	// Hears and HearsNot are when it last said so of the primary.
	Hears, HearsNot time.Duration
	// Report is its last pledge.
	Report PledgeReport
}

// Leader is the primary, or promoted candidate, that this instance last heard.
type Leader struct {
	Instance
	Term        uint64
	Run         uint64
	Heard       time.Duration
	Since       time.Duration
	Tip         Tip
	Established bool
}

// Closed is a run of a member that serves nobody any more in a term, by its own word; it may still be about to stop.
type Closed struct {
	Member MemberID
	Run    uint64
	Term   uint64
}

// Promise given to a primary.
type Promise struct {
	To    MemberID
	Run   uint64
	Sent  time.Duration // the heartbeat's, on the primary's clock
	Given time.Duration
	Until time.Duration
}

type pledgePhase int

const (
	pledgeNone pledgePhase = iota
	pledgeSaving
	pledgeStopping
	pledgeDone
)

// Pledge to a pending term.
type Pledge struct {
	Term  uint64
	Phase pledgePhase
	Save  uint64
	Tip   Tip
	At    time.Duration // done
}

type opKind int

const (
	opNone opKind = iota
	opStartStandby
	opStartPrimary
	opStopReceiving
	opWaitReplay
	opSettle
	opSettleReplay
	opPromote
	opTermMessage
	opFence
	opStop
	opRewind
	opReclone
	opDiscard
)

// Op is the operation under way.
type Op struct {
	ID    uint64
	Kind  opKind
	Since time.Duration
}

// Swap is a compare-and-swap whose outcome is not known yet.
type Swap struct {
	ID      uint64
	Expect  string
	Record  *Record
	Since   time.Duration
	Why     string
	Unknown bool
	// Again is when it may be tried again, if Unknown.
	Again time.Duration
}

// View is the record as last read live.
type View struct {
	Record  *Record
	Version string
	// At: it was so at this time or later. Older answers than Floor are dropped.
	At, Floor time.Duration
	Missing   bool
	// PendingSince is when a pending term over the rule of term PendingRule was first seen; SameSince when this very
	// pending state was.
	PendingRule  uint64
	PendingSince time.Duration
	SameSince    time.Duration
	// TermSince is when this established term was first seen.
	TermSince time.Duration

	ReadSince, LastRead, NextRead time.Duration
}

// Lead is what a read-write instance, or one that wants to be, keeps.
type Lead struct {
	Sync Sync
	Gen  uint64
	// TermLSN is the end of the term's message; GateLSN the end of recovery.
	TermLSN, GateLSN uint64
	// Established in the record; Claimed: the record's holder is this run.
	Established bool
	// OldOver is when the earlier primaries' authority has lapsed.
	OldOver time.Duration
	// APIUntil is until when live reads give authority.
	APIUntil time.Duration
	// Change of the rule under way in PostgreSQL, with the LSN of its barrier; ShortSince is since when voters lack.
	Change      bool
	ChangeSince time.Duration
	ChangeLSN   uint64
	ShortSince  time.Duration
	ChooseAt    time.Duration
	Failures    int
	// Flushed is the most that the voters had together while it is closed, MovedAt since when.
	Flushed uint64
	MovedAt time.Duration
}

// State of one instance. It is plain data: copy it with Clone, print it with %+v.
type State struct {
	Settings Settings
	Self     Instance
	PodUID   string
	Run      uint64
	Disk     Disk

	Now     time.Duration
	Boot    time.Duration
	Phase   Phase
	Entered time.Duration
	Halted  HaltReason
	Primary bool // role label
	// ClientsGone: no client is left in the PostgreSQL that is being stopped. ClosedIn is the term in which this run told so last.
	ClientsGone bool
	ClosedIn    uint64

	LastOp, LastGen uint64
	Op              Op
	SaveN, SavedN   uint64
	AdoptN          uint64 // the save of the term last adopted from a heartbeat
	PromisedN       uint64 // the save of the longest promise
	// LongUntil is until when a promise of that length holds.
	LongUntil time.Duration
	// WaitSave holds the next step of Promoting, Rewinding, Resigned until that save is on the disk.
	WaitSave uint64

	View View
	Swap *Swap

	Peers     []Peer
	Leader    Leader
	Following uint64 // term of the leader that PostgreSQL was told to follow
	FollowAt  time.Duration
	Promise   Promise
	Ended     Ended
	Closed    Closed
	Pledge    Pledge
	Lead      Lead
	Obs       Observed
	ObsAt     time.Duration

	NextBeat, NextReport, NextAsk, AskSince, Backoff, NextName time.Duration
	// Asked counts the terms asked for since a leader was heard: who hears nobody asks more and more rarely.
	Asked int
	// Request to hand over; MinLSN is the shutdown checkpoint's.
	Request   *Switchover
	RequestAt time.Duration
	MinLSN    uint64
	Leaving   bool
	// GiveUp: resign once the fence is over.
	GiveUp bool
	Force  bool
	// Deaths are when PostgreSQL ended by itself while this instance led: the last ones, as many as are too many.
	Deaths []time.Duration
	// DiedClosed: the last time before clients were let in.
	DiedClosed bool
	// Stays: it was started, or opened, once more although PostgreSQL dies again and again.
	Stays bool
	// Aside is the recorded term over which this instance gave up, though it was well: others go first.
	Aside uint64
	// Broken is the term of the leader that no longer has the WAL that this data needs.
	Broken uint64
	// Took is why this instance was named.
	Took *Takeover
	// KillAt is when the fence, or the stop, that is under way must be over.
	KillAt time.Duration
	// Diverged is the end of the log that is being rewound.
	Diverged Tip
}

// New is an instance at the start of PID 1. Run must differ for each start.
func New(self Instance, podUID string, run uint64, disk Disk, set Settings, now time.Duration) State {
	s := State{
		Settings: set, Self: self, PodUID: podUID, Run: run, Disk: disk.clone(), Now: now, Boot: now, Entered: now,
	}
	s.Self.ID = disk.Member
	s.Leader.Heard = now
	s.setPeers(set.Peers)

	return s
}

func (s *State) setPeers(names []string) {
	var out []Peer
	for _, n := range names {
		i := slices.IndexFunc(s.Peers, func(p Peer) bool { return p.Name == n })
		if i >= 0 {
			out = append(out, s.Peers[i])
		} else {
			out = append(out, Peer{Name: n})
		}
	}
	s.Peers = out
}

// Clone is a deep copy.
func (s *State) Clone() State {
	c := *s
	c.Settings.Peers = slices.Clone(s.Settings.Peers)
	c.Disk = s.Disk.clone()
	c.View.Record = s.View.Record.Clone()
	if s.Swap != nil {
		w := *s.Swap
		w.Record = w.Record.Clone()
		c.Swap = &w
	}
	c.Peers = slices.Clone(s.Peers)
	c.Lead.Sync = s.Lead.Sync.clone()
	if s.Took != nil {
		t := *s.Took
		c.Took = &t
	}
	c.Obs.Senders = slices.Clone(s.Obs.Senders)
	c.Deaths = slices.Clone(s.Deaths)
	if s.Request != nil {
		r := *s.Request
		c.Request = &r
	}

	return c
}
