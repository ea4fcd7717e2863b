package cluster

import (
	"fmt"
	"slices"
	"time"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
)

// failoverEvents tell of failovers and switchovers, and of what instances did for them.
func failoverEvents(before, after v1.ClusterStatus) []event {
	var found []event

	// From the oldest on. One is told once its evidence is there, so that it is told whole.
	for _, now := range slices.Backward(after.FailoverHistory) {
		was := slices.IndexFunc(before.FailoverHistory, func(f v1.FailoverStatus) bool { return f.Term == now.Term })
		if now.Reason != "" && (was < 0 || before.FailoverHistory[was].Reason == "") {
			found = append(found, warning("FailedOver", "Failover", failoverNote(now), podReference(now.To)))
		}
	}

	if e, ok := switchoverEvent(before.LastSwitchover, after.LastSwitchover); ok {
		found = append(found, e)
	}

	for _, now := range after.Members {
		was := slices.IndexFunc(before.Members, func(m v1.MemberStatus) bool { return m.Name == now.Name })
		if was < 0 {
			continue // the first look at an instance is no news
		}

		found = append(found, memberFailoverEvents(before.Members[was], now)...)
	}

	return found
}

func failoverNote(f v1.FailoverStatus) string {
	note := fmt.Sprintf("%s took over from %s in term %d: %s", f.To, f.From, f.Term, f.Reason)
	if f.To == f.From {
		note = fmt.Sprintf("%s leads again, in term %d: %s", f.To, f.Term, f.Reason)
	}

	if f.TimelineID > 0 {
		note += fmt.Sprintf("; timeline %d from %s", f.TimelineID, firstOf(f.ForkLSN, "an unknown LSN"))
	}

	if f.GapMilliseconds != nil {
		note += fmt.Sprintf("; %.1f s without a primary", (time.Duration(*f.GapMilliseconds) * time.Millisecond).Seconds())
	}

	return note
}

func switchoverEvent(before, after *v1.SwitchoverStatus) (event, bool) {
	if after == nil || before != nil && before.Request == after.Request && before.Result == after.Result {
		return event{}, false
	}

	switch after.Result {
	case v1.SwitchoverCompleted:
		return normal("SwitchoverCompleted", "Switchover", fmt.Sprintf("%s leads after %s, as asked for by %s", after.To, after.From, after.Request),
			podReference(after.To)), true
	case v1.SwitchoverFailed, v1.SwitchoverRefused:
		return warning("Switchover"+string(after.Result), "Switchover", fmt.Sprintf("The switchover %s: %s", after.Request, after.Message), nil), true
	case v1.SwitchoverInProgress:
	}

	return event{}, false
}

// memberFailoverEvents are an instance's crashes and fences, and how it came back behind another primary.
func memberFailoverEvents(before, after v1.MemberStatus) []event {
	var found []event

	if now := after.LastCrash; now != nil && (before.LastCrash == nil || !before.LastCrash.At.Equal(&now.At)) {
		found = append(found, warning("PostgresCrashed", "Observe",
			fmt.Sprintf("PostgreSQL of %s ended by itself (%s) and is started again", after.Name, now.Reason), podReference(after.Name)))
	}

	if now := after.LastFence; now != nil && (before.LastFence == nil || !before.LastFence.At.Equal(&now.At)) {
		found = append(found, warning("Fenced", "Fence",
			fmt.Sprintf("%s cut its clients off and killed PostgreSQL: %s", after.Name, now.Reason), podReference(after.Name)))
	}

	now := after.LastRejoin
	if now == nil || before.LastRejoin != nil && before.LastRejoin.At.Equal(&now.At) {
		return found
	}

	switch now.Method {
	case v1.RejoinRewound:
		found = append(found, warning("Rewound", "Rejoin", fmt.Sprintf("%s went back to where term %d began; %s", after.Name, now.Term, discarded(*now)),
			podReference(after.Name)))
	case v1.RejoinCloned:
		found = append(found, warning("Recloned", "Rejoin", fmt.Sprintf("%s was copied anew: %s; %s", after.Name, firstOf(now.Reason, "it could not follow"),
			discarded(*now)), podReference(after.Name)))
	case v1.RejoinFollowed: // the usual way, which needs no event
	case v1.RejoinReplaced, v1.RejoinRemoved, v1.RejoinUnknown: // no instance's own word
	}

	return found
}

func discarded(r v1.RejoinStatus) string {
	switch {
	case r.BytesDiscarded == 0:
		return "no log of its own was discarded"
	case r.DivergentWAL == "":
		return fmt.Sprintf("%d bytes of its own log were discarded", r.BytesDiscarded)
	default:
		return fmt.Sprintf("%d bytes of its own log were discarded, and are kept in %s on its volume", r.BytesDiscarded, r.DivergentWAL)
	}
}
