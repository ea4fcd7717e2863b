// Package watchdog kills every process of the container when the authority of its primary is over, also when PID 1 hangs.
//
// A child of PID 1, this same program, reads a deadline from memory that both share, so that nothing of PID 1 has to work
// for it: a PID 1 that is stopped, or whose loop is stuck, no longer puts the deadline off. The child cannot end PID 1,
// whom the kernel shields in its own PID namespace; a PID 1 that hangs is ended by the kubelet's liveness probe.
package watchdog
