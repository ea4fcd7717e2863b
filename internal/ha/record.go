package ha

import (
	"fmt"
	"slices"
)

// MemberID names a data volume: it is made with each new volume and lives on it. A volume made anew is another member.
type MemberID string

// Instance is a member and the name that it is reached by.
type Instance struct {
	ID   MemberID
	Name string
}

// Holder is the process that holds a term: the volume, the pod, and the run of PID 1 in it.
type Holder struct {
	Member MemberID
	Name   string
	PodUID string
	// Run differs for each start of PID 1. The compare-and-swap that writes it makes every write of earlier runs that
	// may still be under way fail.
	Run uint64
}

// Rule is an established term: who leads, and which copies a commit needs.
type Rule struct {
	Term    uint64
	Primary Holder
	// Timeline that the primary writes.
	Timeline uint32
	// Voters are the members, without the primary, that acknowledge commits and elect; sorted.
	Voters []MemberID
	// Acks (W) is how many of them must have flushed a commit before it is acknowledged; 0 is asynchronous.
	Acks int
}

// Pending is a term that was asked for and is not yet established.
type Pending struct {
	Term uint64
	// Timeline reserved for the one candidate of this term; it grows with the term, so that timelines order logs as
	// terms do.
	Timeline uint32
	// Candidate, once named.
	Candidate Instance
	// Forced terms go ahead although voters still hear the primary.
	Forced bool
	// OldStopped: the recorded primary itself has stopped for good in its term, and nobody before it can serve.
	OldStopped bool
	// MinLSN on the recorded timeline that the candidate must contain; 0 for none. It belongs to this request alone.
	MinLSN uint64
	// Request and Target of a switchover.
	Request string
	Target  MemberID
}

// Record is the one object that arbitrates between instances. It changes by compare-and-swap after a live read only.
type Record struct {
	Rule
	Pending  *Pending
	SystemID string
	// Seq counts the writes, so that a record restored from a backup is known for what it is.
	Seq uint64
}

// Clone is a deep copy.
func (r *Record) Clone() *Record {
	if r == nil {
		return nil
	}
	c := *r
	c.Voters = slices.Clone(r.Voters)
	if r.Pending != nil {
		p := *r.Pending
		c.Pending = &p
	}

	return &c
}

// String is the record in one line.
func (r *Record) String() string {
	if r == nil {
		return "no record"
	}
	s := fmt.Sprintf("#%d term %d %s tl%d V%v W%d", r.Seq, r.Term, r.Primary.Member, r.Timeline, r.Voters, r.Acks)
	if p := r.Pending; p != nil {
		s += fmt.Sprintf(" pending{%d tl%d cand %q forced=%v stopped=%v min=%d}",
			p.Term, p.Timeline, p.Candidate.ID, p.Forced, p.OldStopped, p.MinLSN)
	}

	return s
}

// MaxTerm is the highest term that was ever asked for.
func (r *Record) MaxTerm() uint64 {
	if r.Pending != nil && r.Pending.Term > r.Term {
		return r.Pending.Term
	}

	return r.Term
}

// nextPending is a fresh term, with a timeline that no other term ever had.
func (r *Record) nextPending() *Pending {
	p := &Pending{Term: r.MaxTerm() + 1, Timeline: r.Timeline + 1}
	if r.Pending != nil {
		p.Timeline = max(p.Timeline, r.Pending.Timeline+1)
		p.OldStopped = r.Pending.OldStopped // it stopped for good in the recorded term, which is the same
		if IsOwnRequest(r.Pending.Request) {
			p.Request = r.Pending.Request // why that primary gave up
		}
	}

	return p
}

// Quorum (R) is how many voters' pledges shut out every acknowledgement: R + W > n.
func (r *Rule) Quorum() int {
	if r.Acks == 0 {
		return 1
	}

	return max(1, len(r.Voters)-r.Acks+1)
}

// isMember tells whether the rule names the member as voter or primary.
func (r *Rule) isMember(id MemberID) bool {
	return id != "" && (r.Primary.Member == id || slices.Contains(r.Voters, id))
}

// covers tells whether this set of members, having pledged, can let nothing more be acknowledged under the rule. The
// recorded primary alone does: nothing is acknowledged but by it, and its log holds all that ever was.
func (r *Rule) covers(has func(MemberID) bool, quorum int) bool {
	if has(r.Primary.Member) {
		return true
	}
	n := 0
	for _, v := range r.Voters {
		if has(v) {
			n++
		}
	}

	return len(r.Voters) > 0 && n >= quorum
}

// Sync is synchronous_standby_names: ANY Acks (Voters).
type Sync struct {
	Voters []MemberID
	Acks   int
}

func (s Sync) clone() Sync { return Sync{Voters: slices.Clone(s.Voters), Acks: s.Acks} }

func (s Sync) equal(o Sync) bool { return s.Acks == o.Acks && slices.Equal(s.Voters, o.Voters) }

func (r *Rule) sync() Sync { return Sync{Voters: slices.Clone(r.Voters), Acks: r.Acks} }

func without(ids []MemberID, id MemberID) []MemberID {
	return slices.DeleteFunc(slices.Clone(ids), func(x MemberID) bool { return x == id })
}

func with(ids []MemberID, id MemberID) []MemberID {
	if id == "" || slices.Contains(ids, id) {
		return slices.Clone(ids)
	}
	out := append(slices.Clone(ids), id)
	slices.Sort(out)

	return out
}
