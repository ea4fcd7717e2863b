package ha

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

// better orders logs: the timeline first, which stands for the term of the last promotion, then the LSN.
func (t Tip) better(o Tip) bool {
	if t.Timeline != o.Timeline {
		return t.Timeline > o.Timeline
	}

	return t.LSN > o.LSN
}
