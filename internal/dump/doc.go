// Package dump looks after Backups of backup.caretaker.dev: logical dumps of any PostgreSQL, MySQL or MongoDB.
//
// It makes a CronJob, or one Job where there is no schedule, and reads what became of the Jobs from what their pods leave as last
// words. The pods run the engine's own dump program from the engine's own image, and our caretaker-archive, which an init container
// brings: the operator itself talks to no store (see ADR 0118).
package dump
