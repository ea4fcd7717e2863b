package decide

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
)

// historyLength is how many failovers are remembered; CRDs bound their lists.
const historyLength = 10

// failovers is the history of changes of primary that nobody asked for, the newest first. That there was one is seen in the
// record; the rest is what the instances tell, who keep it on their volumes. So it is complete, too, when the operator was
// away.
func (p *planner) failovers() []v1.FailoverStatus {
	last := p.Cluster.Status

	history := map[int64]v1.FailoverStatus{}
	for _, entry := range last.FailoverHistory {
		history[entry.Term] = entry
	}

	if entry, ok := p.seenFailover(); ok {
		if _, known := history[entry.Term]; !known {
			history[entry.Term] = entry
		}
	}

	for _, name := range slices.Sorted(maps.Keys(p.states)) {
		if report := p.states[name].report; report != nil && report.Takeover != nil {
			addTakeover(history, name, *report.Takeover)
		}
	}

	for term, entry := range history {
		if !slices.ContainsFunc(last.FailoverHistory, func(f v1.FailoverStatus) bool { return f.Term == term }) {
			entry.FromMemberID = memberIDIn(last.Members, entry.From)
			history[term] = entry
		}
	}

	found := slices.SortedFunc(maps.Values(history), func(a, b v1.FailoverStatus) int { return cmp.Compare(b.Term, a.Term) })
	found = found[:min(len(found), historyLength)]

	for name, state := range p.states {
		if state.report != nil && state.report.Rejoin != nil {
			addRejoin(found, name, *state.report.Rejoin)
		}
	}

	for i := range found {
		if found[i].Returned == "" {
			found[i].Returned = p.returnedUntold(found[i])
		}
	}

	if len(found) == 0 {
		return nil
	}

	return found
}

// seenFailover is a change of primary that the record shows.
func (p *planner) seenFailover() (v1.FailoverStatus, bool) {
	last := p.Cluster.Status
	if p.Record == nil || p.Record.Spec.Primary == nil || last.Term == 0 || p.Record.Spec.Primary.Name == last.Primary {
		return v1.FailoverStatus{}, false
	}

	// By annotation, or before the primary is taken down.
	if c := meta.FindStatusCondition(last.Conditions, v1.ConditionReconciling); c != nil && c.Reason == v1.ReasonSwitchingOver {
		return v1.FailoverStatus{}, false
	}

	return v1.FailoverStatus{
		From: last.Primary, To: p.Record.Spec.Primary.Name, Term: p.Record.Spec.Term,
		At: metav1.NewTime(p.Now.Truncate(time.Second)),
	}, true
}

// addTakeover takes over what a new primary tells. Nobody was given up for one that was asked for, nor for the first.
func addTakeover(history map[int64]v1.FailoverStatus, name string, took instanceapi.Takeover) {
	if took.Request != "" {
		delete(history, took.Term)

		return
	}

	if took.From == "" {
		return
	}

	entry := history[took.Term]
	entry.From, entry.To, entry.Term, entry.Reason = took.From, name, took.Term, took.Reason
	entry.TimelineID, entry.ForkLSN = took.TimelineID, took.ForkLSN
	entry.At = metav1.NewTime(took.OpenedAt.Truncate(time.Second))

	if gap := took.OpenedAt.Sub(took.LastHeard).Milliseconds(); !took.LastHeard.IsZero() && gap >= 0 {
		entry.GapMilliseconds = &gap
	}

	history[took.Term] = entry
}

// addRejoin takes over how a former primary came back: after the newest failover that it had not come back from.
func addRejoin(history []v1.FailoverStatus, name string, rejoin instanceapi.Rejoin) {
	for i := range history {
		entry := &history[i]
		if entry.From != name || entry.Term > rejoin.Term {
			continue
		}

		// It may have come back before the new primary let clients in: that waits for replicas, of which it is one.
		if entry.Returned == "" {
			entry.Returned, entry.BytesDiscarded = v1.RejoinMethod(rejoin.Method), &rejoin.DiscardedBytes
			entry.DivergentWAL = rejoin.KeptIn
		}

		return
	}
}

// returnedUntold is what became of a former primary that does not tell of a return itself: what it would tell from is on the
// volume that it had. Empty while it is still waited for.
func (p *planner) returnedUntold(entry v1.FailoverStatus) v1.RejoinMethod {
	state, exists := p.states[entry.From]
	if !exists {
		return v1.RejoinRemoved
	}

	report := state.report
	if report == nil || !state.ready {
		return ""
	}

	// It may not have noticed yet that another leads.
	follows := report.Role == instanceapi.RoleReplica && report.Term >= entry.Term
	leadsAgain := report.Role == instanceapi.RolePrimary && report.Term > entry.Term

	switch {
	case !follows && !leadsAgain:
		return ""
	case entry.FromMemberID != "" && report.MemberID != "" && report.MemberID != entry.FromMemberID:
		return v1.RejoinReplaced
	default:
		return v1.RejoinUnknown
	}
}

func memberIDIn(members []v1.MemberStatus, name string) string {
	for _, member := range members {
		if member.Name == name {
			return member.MemberID
		}
	}

	return ""
}

func rejoinStatus(report *instanceapi.Rejoin) *v1.RejoinStatus {
	if report == nil {
		return nil
	}

	return &v1.RejoinStatus{
		Method: v1.RejoinMethod(report.Method), Term: report.Term, At: metav1.NewTime(report.At.Truncate(time.Second)),
		Reason: report.Why, BytesDiscarded: report.DiscardedBytes, DivergentWAL: report.KeptIn,
	}
}

// crashStatus: PID 1 forgets when it ends, as with its fences.
func crashStatus(report *instanceapi.Crash, last *v1.CrashStatus) *v1.CrashStatus {
	if report == nil {
		return last
	}

	return &v1.CrashStatus{At: metav1.NewTime(report.At.Truncate(time.Second)), Reason: report.How}
}

// fenceStatus: PID 1 forgets its fences when it ends; what it told before stays.
func fenceStatus(report *instanceapi.Fence, last *v1.FenceStatus) *v1.FenceStatus {
	if report == nil {
		return last
	}

	return &v1.FenceStatus{At: metav1.NewTime(report.At.Truncate(time.Second)), Reason: report.Why}
}
