// Package instance is PID 1 of a database pod: it makes or copies the data, starts and supervises PostgreSQL, keeps its
// configuration, certificates and passwords as the Cluster wants them, and says how it is.
//
// Its main loop observes (facts.go), decides (decide.go, pure) and acts (act.go). What takes long runs as a job beside
// the loop, one at a time, so that the loop never blocks. High availability will replace what is decided, not the rest.
package instance
