// Package archiveapi is what PID 1 of a database pod and the archive's program, caretaker-archive, say to each other: which
// archive is meant and what the archiver is to do with it (Target, Config), how that goes (Status), how far a command is
// (Progress), what came out of it (Result), and where a recovery is to end (RecoveryTarget). All of it goes through files, pipes
// and a socket, in JSON.
//
// It imports no client of any store, nor anything that does: PID 1 links this package and not package archive (see ADR 0113).
package archiveapi
