package ha

import "time"

const (
	// wordAge is how long word of a living primary counts: several heartbeats, and several rounds of asking.
	wordAge = 3 * time.Second
	// freshAge is how long an answer counts of somebody who would know of a primary.
	freshAge = 10 * time.Second
)

// Word is what an instance knows of a primary beside itself. It decides nothing here: it tells a replica that receives
// nothing whether it has fallen behind, or whether there is nothing to receive.
type Word struct {
	// Primary: one lives. It was heard, or a peer hears it, or it has taken this instance out of the voters.
	Primary bool
	// Fresh: somebody who would know of one has answered lately, a peer or the API server.
	Fresh bool
}

// Word of a primary, as of the last step.
func (s *State) Word() Word {
	lately := func(at, age time.Duration) bool { return at != 0 && s.Now-at <= age }

	r := s.View.Record
	w := Word{
		Primary: s.Leader.ID != "" && lately(s.Leader.Heard, wordAge) || r != nil && !r.isMember(s.Self.ID),
		Fresh:   lately(s.View.At, freshAge),
	}

	for i := range s.Peers {
		w.Primary = w.Primary || lately(s.Peers[i].Hears, wordAge)
		w.Fresh = w.Fresh || lately(s.Peers[i].HearsNot, freshAge)
	}

	return w
}
