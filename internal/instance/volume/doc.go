// Package volume is what PID 1 keeps on the data volume, and what it learns from it.
//
// The volume holds PGDATA, and next to it a folder of ours: the lock that keeps two containers from starting PostgreSQL
// on one volume, and the member ID. Files are written atomically and survive a power loss.
package volume
