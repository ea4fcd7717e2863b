// Package operator is the process around the controllers: its options, logs, caches, probes, metrics and memory limit.
//
// It knows no kind's rules. What runs in it is handed to Run as a function, so that the package can be tested with
// nothing in it, and so that each controller is wired in one place, the command.
package operator
