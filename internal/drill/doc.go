// Package drill proves backups: on the schedule of spec.backup.drill it starts a throw-away instance that restores the newest
// Backup, replays all of the archive and checks what comes out (package run). Its result is written into the Backup's status by
// that kind's controller; then the instance is deleted, with its volume.
package drill
