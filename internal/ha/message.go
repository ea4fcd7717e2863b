package ha

import "time"

// Message travels between the PID 1s of a Cluster, over mTLS. Messages may be lost, late, doubled and out of order.
type Message interface{ message() }

// Heartbeat of a primary, or of a candidate that was promoted.
type Heartbeat struct {
	Term uint64
	Run  uint64
	// Sent is on the sender's clock and comes back in the reply.
	Sent time.Duration
	// Promise is for how long a promise is asked for; 0 of a sender that does not say: then for what the receiver's settings
	// have.
	Promise time.Duration
	// Tip has the timeline history that followers compare theirs with.
	Tip Tip
	// Established: the record says so, divergent members may rewind onto it.
	Established bool
	// Closed: the sender is stopping in order, no client is left in it, and this run of it lets none in any more. It is heard,
	// so that nobody takes over while it writes and sends its last checkpoint, and asks for no promise: if it is killed
	// meanwhile, there is nothing to wait for.
	Closed bool
}

// HeartbeatReply with Promise says: I pledge to no later term for the time Lasts from now on.
type HeartbeatReply struct {
	Term    uint64
	Run     uint64
	Sent    time.Duration
	Promise bool
	// Lasts is for how long it was asked; 0 of a sender that does not say.
	Lasts time.Duration
	// Pledged is the highest term that the sender has pledged to.
	Pledged uint64
}

// Ask asks a peer whether it hears the primary of a term.
type Ask struct{ Term uint64 }

// AskReply answers Ask.
type AskReply struct {
	Term  uint64
	Hears bool
}

// PledgeReport says that the sender is durably pledged to Term, receives nothing, has replayed all, and where its log
// ends.
type PledgeReport struct {
	Term     uint64
	Tip      Tip
	SystemID string
	// Stopped: the sender led the recorded term, had opened in it, and has stopped for good.
	Stopped bool
}

// isEmpty: it has no data yet, and so neither a system identifier nor a log that could differ from another.
func (p PledgeReport) isEmpty() bool { return p.Tip.Timeline == 0 && p.SystemID == "" }

// Release frees the receivers from their promises to this run of the sender that were given to heartbeats sent no later.
type Release struct {
	Term uint64
	Run  uint64
	Sent time.Duration
}

// Wrote says that the sender has just written the record: a hint to read it now, and nothing more.
type Wrote struct {
	// Seq of the record that was written.
	Seq uint64
}

func (Heartbeat) message()      {}
func (HeartbeatReply) message() {}
func (Ask) message()            {}
func (AskReply) message()       {}
func (PledgeReport) message()   {}
func (Release) message()        {}
func (Wrote) message()          {}
