// Package build makes the CronJob and the Jobs of a Backup of backup.caretaker.dev. It is pure.
package build
