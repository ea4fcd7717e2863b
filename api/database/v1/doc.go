// Package v1 holds the kinds of database.caretaker.dev: PostgreSQL and MySQL, the short forms of a database server. A
// PostgreSQL is compiled to a Cluster of postgresql.caretaker.dev, a MySQL to a StatefulSet with Group Replication.
//
// +kubebuilder:object:generate=true
// +groupName=database.caretaker.dev
package v1
