package ha

// degrade lets a preferred Cluster go on alone when voters are missing for a while: the record first says that nobody
// but this primary may lead, and then PostgreSQL stops waiting. Armed again by changeAcks, through the barrier.
func (m *machine) degrade(r *Record) bool {
	l := &m.Lead
	if !m.Settings.Preferred || r.Acks == 0 {
		return false
	}
	alive := 0
	for _, v := range r.Voters {
		if p := m.member(v); p != nil && p.Answered != 0 && m.Now-p.Answered < m.Settings.Timing.missed() && m.streams(v) {
			alive++
		}
	}
	if alive >= r.Acks {
		l.ShortSince = 0
		return false
	}
	if l.ShortSince == 0 {
		l.ShortSince = m.Now
	}
	if m.Now-l.ShortSince < m.Settings.Timing.DegradeAfter {
		return false
	}
	m.weaker(r, Sync{}, "degraded: too few voters")

	return true
}

func (m *machine) streams(id MemberID) bool {
	for _, x := range m.Obs.Senders {
		if x.Member == id {
			return true
		}
	}

	return false
}
