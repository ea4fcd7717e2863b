// Package walclient talks to the archiver over its Unix socket: what archive_command and restore_command run, and what
// PID 1 asks for status. It imports little: a process that does one push must start in a millisecond.
//
// The protocol is a line for a request and a line for its answer, fields separated by tabs:
//
//	push <name>                  → ok | error <message>
//	fetch <name> <absolute path> → ok | missing | error <message>
//	status                       → JSON, wal.Status
package walclient
