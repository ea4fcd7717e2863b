// Package postgresql looks after PostgreSQLs: each is compiled to a Cluster of the same name (package shortform), and to a
// ScheduledBackup once the database is ready and backups are wanted. The status passes on the Cluster's truth.
//
// A pass is: observe (the Cluster and the ScheduledBackup of that name), decide (pure), act, report.
package postgresql
