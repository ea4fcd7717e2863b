// Package mysql looks after MySQLs: a StatefulSet whose pods run package mysqld as PID 1, with what belongs to it.
//
// MySQL's own Group Replication chooses primaries and fails over; no pass is needed for that. A pass makes the objects,
// lets volumes grow, and begins the group: for the first time, and after all members were down. Which member begins is
// decided in decide.go, by what each has told in an annotation of its pod.
package mysql
