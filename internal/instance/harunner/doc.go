// Package harunner runs the protocol of package ha in PID 1.
//
// One goroutine, Driver.Run, owns the protocol's state and steps it. Everything else is an executor beside it that
// reports back as an event: the record's compare-and-swap, messages to the peers, the state on the volume, and an
// Executor for all that concerns PostgreSQL, which works through its actions one after the other. Nothing here decides.
package harunner
