package ha

import "slices"

// Switch is an entry of a timeline history: the timeline ended at this LSN.
type Switch struct {
	Timeline uint32
	End      uint64
}

// Tip is the end of a log as PostgreSQL can tell it: the position, and the history of timelines that led there.
// Two logs with the same timeline are prefixes of each other, since no two terms ever promote to the same timeline.
type Tip struct {
	Timeline uint32
	LSN      uint64
	// History is never changed in place.
	History []Switch
}

// contains tells whether the log holds that position of that timeline.
func (t Tip) contains(timeline uint32, lsn uint64) bool {
	switch timeline {
	case 0:
		return true // an empty volume
	case t.Timeline:
		return lsn <= t.LSN
	}
	for _, h := range t.History {
		if h.Timeline == timeline {
			return lsn <= h.End
		}
	}

	return false
}

// canFollow tells whether a node at this tip can stream from a log with that timeline history, wherever that log ends.
func (t Tip) canFollow(leader Tip) bool {
	if t.Timeline == leader.Timeline {
		return true
	}

	return leader.contains(t.Timeline, t.LSN)
}

// Fork is where this log leaves another: the last timeline and position that both have.
func (t Tip) Fork(o Tip) (timeline uint32, lsn uint64) {
	own := append(slices.Clone(t.History), Switch{Timeline: t.Timeline, End: t.LSN})
	for _, h := range slices.Backward(own) {
		end, ok := o.end(h.Timeline)
		if ok {
			return h.Timeline, min(h.End, end)
		}
	}

	return 0, 0
}

// end is where a timeline ends in this log.
func (t Tip) end(timeline uint32) (lsn uint64, ok bool) {
	if timeline == t.Timeline {
		return t.LSN, true
	}
	for _, h := range t.History {
		if h.Timeline == timeline {
			return h.End, true
		}
	}

	return 0, false
}

// better orders logs: the timeline first, which stands for the term of the last promotion, then the LSN.
func (t Tip) better(o Tip) bool {
	if t.Timeline != o.Timeline {
		return t.Timeline > o.Timeline
	}

	return t.LSN > o.LSN
}
