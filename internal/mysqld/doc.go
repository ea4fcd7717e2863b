// Package mysqld is PID 1 of a MySQL pod: it initializes the data, starts mysqld, lets it join its group, or begin one when
// the operator says so, and tells Kubernetes its role.
//
// Failover is MySQL's own (Group Replication, single-primary mode); nothing here chooses a primary. What remains is how a
// group begins: for the first time, and after all members were down. Each member tells, in an annotation of its pod, which
// transactions it has; the operator names the one to begin (package mysql). An order names the run that it is for: one that
// was for an earlier run is not obeyed.
package mysqld
