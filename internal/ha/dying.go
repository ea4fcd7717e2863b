package ha

import (
	"slices"
	"time"
)

const (
	deathWindow = 10 * time.Minute
	// calmAfter is how long a primary must have served without a death to count as well again.
	calmAfter = time.Hour
	// answeredAge: while PostgreSQL dies and is started again, heartbeats are few.
	answeredAge = 5 * time.Second
)

// died remembers that PostgreSQL ended by itself while this instance led: as many deaths as are too many.
func (m *machine) died() {
	if !m.Phase.is(Restarting, Gated, Primary) {
		return
	}
	kept := append(m.lateDeaths(), m.Now)
	m.Deaths = kept[max(0, len(kept)-m.Settings.Timing.Deaths):]
	m.DiedClosed = m.Phase != Primary
}

func (s *State) lateDeaths() []time.Duration {
	return slices.DeleteFunc(slices.Clone(s.Deaths), func(at time.Duration) bool { return s.Now-at > deathWindow })
}

// isDying tells whether PostgreSQL has died so often lately that to start it again here is no remedy.
func (s *State) isDying() bool {
	return s.Settings.Timing.Deaths > 0 && len(s.lateDeaths()) >= s.Settings.Timing.Deaths
}

// mayGiveUpDying: to start PostgreSQL again here is no remedy, and to let another lead may be one. Who took over from a
// primary that kept dying, and dies as well, stays: what kills PostgreSQL is in the data, or comes with the clients.
func (m *machine) mayGiveUpDying() bool {
	r := m.View.Record
	if !m.isDying() || r == nil || len(r.Voters) == 0 || m.without(gDying) {
		return false
	}

	return m.Disk.TookDying != m.Disk.Led || m.without(gOnce)
}

// handOverClosed stops PostgreSQL in order, before the clients that it would die of are let in: nothing is lost, and the
// others can follow. It tells whether there is nothing more to do now.
func (m *machine) handOverClosed() bool {
	if !m.mayGiveUpDying() || m.Now < m.Lead.OldOver || !m.hasAuthority() {
		return false
	}
	if !m.leads() || m.View.Record.Pending != nil || m.Swap != nil || m.Lead.Change || !m.fresh(1500*time.Millisecond) {
		return m.Now-m.Entered < leaveTimeout // then it opens
	}
	m.note("handing over: " + RequestDying)
	m.Request, m.RequestAt, m.Deaths = &Switchover{Request: RequestDying}, m.Now, nil
	m.stopFast()

	return true
}

// handOverDead gives the term up in place of one more start, where PostgreSQL dies before it can be stopped in order. Its log
// may be ahead of all others: enough of them must be there to lead without it, and commits must have waited for them. It tells
// whether there is nothing more to do now.
func (m *machine) handOverDead() bool {
	if !m.isDying() || !m.DiedClosed {
		return false
	}
	may := m.mayGiveUpDying() && m.View.Record.Acks > 0
	if may && m.View.At < m.Entered && m.Now-m.Entered < readTimeout {
		return true // promises would start it before the record can be read
	}
	if !may || m.View.At < m.Entered || !m.othersCanLead(answeredAge) {
		m.Stays = true
		return false
	}
	m.note("handing over: " + RequestDying)
	m.Request, m.MinLSN, m.Deaths = &Switchover{Request: RequestDying}, 0, nil
	m.standAside(m.View.Record)
	m.resign()
	m.enter(Resigned)

	return true
}

// calmed lets a primary that has served for long hand over again.
func (m *machine) calmed() {
	if m.Disk.TookDying != 0 && m.Now-m.Entered > calmAfter {
		m.Disk.TookDying = 0
		m.save()
	}
}

// Dying is what is known of a PostgreSQL that dies again and again under an instance that leads.
type Dying struct {
	// Deaths within the last ten minutes; 0 while they are not too many, or it is being handed over.
	Deaths int
	// Inherited: the primary before was given up for the same, so that this instance stays.
	Inherited bool
}

// Dying tells how it is, as of the last step.
func (s *State) Dying() Dying {
	if !s.Stays || !s.isDying() || !s.Phase.is(Idle, Restarting, Gated, Primary) {
		return Dying{}
	}

	return Dying{Deaths: len(s.lateDeaths()), Inherited: s.Disk.TookDying == s.Disk.Led}
}
