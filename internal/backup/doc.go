// Package backup looks after Backups: it has one instance of the Cluster take the backup, follows it, and takes it off the
// store again where the reclaim policy says so. The instance does the work, in a process of its own, and reads and writes the
// store; the operator never does.
package backup
