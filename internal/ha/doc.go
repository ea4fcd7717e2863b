// Package ha is the high-availability protocol of the instances of a Cluster, as a pure state machine.
//
// The instances decide among themselves who leads; the Kubernetes API only arbitrates terms, through one record that
// changes by compare-and-swap. Step(state, event) gives the next state and the actions to carry out. There is no clock,
// no randomness, no goroutine and no I/O: time, the record, messages and what PostgreSQL shows come in as events, and
// PID 1 runs the actions. So a seeded simulator, in this package's tests, can be the judge of all of it.
//
// Safety comes from a quorum fence and needs no clock. n voters acknowledge commits, W of them each; a new term needs
// durable pledges of R = n - W + 1 of them. A voter that has pledged receives nothing from, and so acknowledges nothing
// to, an older term. Every acknowledged commit has reached one of those R, and the one with the best log leads. The old
// primary need not even notice. The recorded primary's own pledge does as much: without it nothing is acknowledged, and
// its log has everything. Time only prevents stale reads and protects asynchronous clusters: a reply to a heartbeat
// promises not to pledge for a while, and a primary that has neither promises nor a live read of the record kills its
// PostgreSQL before that while is over.
//
// A failover: R voters are silent about the primary; one asks for the next term in the record (pending). Voters wait out
// their promise, fsync the pledge, stop receiving, replay all, and tell their log's end. Whoever sees a quorum names the
// best log in the record, one candidate for each term, on a timeline reserved for that term. It promotes, closed to
// clients; W voters flush the term's message on the new timeline; the record says "established"; the old primary's
// authority is over; then clients come in. A candidate that dies is replaced by a new term over new pledges. A primary that
// stops in order says when its last client has gone: if it falls silent then, neither promise nor authority is waited for.
//
// The record and PostgreSQL never disagree in the wrong direction: a weaker rule (a voter more, W lower, degraded) goes
// to the record first, a stricter one to PostgreSQL first, then through the barrier (every walsender and the checkpointer
// have loaded it, then W of the new voters have flushed all that was written until then), then to the record.
//
// Nothing starts read-write from what is on its disk: it needs a live read in its favour, written over with this run's
// number, or fresh promises of W voters. After a restart in place clients wait until W voters have what recovery brought
// to light. A divergent member rewinds only onto an established primary, marked before; what is marked is emptied, and
// is a new member.
//
// Files: record and tip (the data), event, action, message (the interface), state, step (the machine), recordview,
// authority, promise, pledge, election, promote, overdue, membership, degraded, switchover, rejoin, dying (one concept each),
// guards (what tests take away). The page docs/concepts/ha-protocol.md has the table of phases and what the runner owes.
package ha
