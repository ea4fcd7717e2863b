// Package scheduledbackup makes Backups on a schedule. Each has the name of the moment that it is due for, so that one moment
// never gets two, whatever is restarted in between.
package scheduledbackup
