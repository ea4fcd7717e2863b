// Package serverlog reads PostgreSQL's structured log and passes it on.
//
// PostgreSQL's logging collector writes files on a memory-backed volume, so that a slow reader of the container's output
// never blocks a backend. PID 1 follows the files and removes what it has read.
package serverlog
