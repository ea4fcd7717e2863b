package diskguard

const (
	percent = 100
	// readOnlyPercent of a volume: with no more room than that left, writes are refused.
	readOnlyPercent = 5
	// resumePercent more, and at least resumeSegments of the log, must be free for writes to resume: the log comes and goes
	// by segments.
	resumePercent  = 2
	resumeSegments = 2
	// reservePercent is kept back, but at least reserveSegments of the log, and no more than maxReserve.
	reservePercent  = 2
	reserveSegments = 3
	maxReserve      = int64(1) << 30
	// releasePercent is when the reserve is given up; at least one and a half segments.
	releasePercent = 1
	// Small volumes hold few segments of the log: no limit may take more than such a share of them.
	reserveShare, releaseShare, resumeShare = 10, 40, 12
	defaultSegment                          = int64(16) << 20
)

// Limits of a volume, in bytes. Room is what is free and what is kept back, together.
type Limits struct {
	// Reserve that is kept back.
	Reserve int64
	// ReadOnlyBelow and WritableAbove are room.
	ReadOnlyBelow, WritableAbove int64
	// ReleaseBelow is free space: with less, the reserve is given up.
	ReleaseBelow int64
}

// LimitsOf a volume of a size, with log segments of a size (0: the usual one). From 10 GiB on writes are refused at 95 %;
// on smaller volumes earlier, since a few segments of the log are a larger share of them.
func LimitsOf(volume, segment int64) Limits {
	if segment == 0 {
		segment = defaultSegment
	}

	l := Limits{
		Reserve:      min(max(volume*reservePercent/percent, reserveSegments*segment), maxReserve, volume/reserveShare),
		ReleaseBelow: min(max(volume*releasePercent/percent, segment*3/2), maxReserve, volume/releaseShare),
	}
	l.ReadOnlyBelow = max(volume*readOnlyPercent/percent, l.Reserve+2*l.ReleaseBelow)
	l.WritableAbove = l.ReadOnlyBelow + max(volume*resumePercent/percent, min(resumeSegments*segment, volume/resumeShare))

	return l
}

// State of a volume.
type State struct {
	// Free for PostgreSQL, and Reserve that is kept back at the moment.
	Free, Reserve int64
	// ReadOnly: writes are refused.
	ReadOnly bool
}

// Decision is what to do.
type Decision struct {
	// ReadOnly: refuse writes.
	ReadOnly bool
	// Reserve to keep back from now on: what there is, all of it, or nothing.
	Reserve int64
}

// Decide is the rule.
func Decide(l Limits, s State) Decision {
	room := s.Free + s.Reserve
	d := Decision{ReadOnly: room < l.ReadOnlyBelow, Reserve: s.Reserve}

	if s.ReadOnly {
		d.ReadOnly = room < l.WritableAbove
	}

	switch {
	case s.Free < l.ReleaseBelow && room < l.WritableAbove:
		d.Reserve = 0
	case !d.ReadOnly && s.Reserve < l.Reserve:
		d.Reserve = l.Reserve
	}

	return d
}
