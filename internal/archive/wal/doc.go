// Package wal moves WAL between a server's pg_wal and an archive: the pusher behind archive_command, the fetcher behind
// restore_command, and the archiver, the long-lived process that both talk to over a Unix socket.
//
// Rules that hold throughout:
//   - PostgreSQL is told "archived" only when the object is in the store, durable and known to be the same bytes.
//   - An object is never replaced. The same bytes again are fine; other bytes are an error that says so.
//   - "Not there" is the store's own word. Anything else is an error, and recovery waits or stops rather than ending early.
//   - What comes out of the archive is checked (length, SHA-256, the page header's own address) before PostgreSQL sees it.
package wal
