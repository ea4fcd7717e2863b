// Package database looks after Databases: those with an engine are compiled to a Cluster of their own (package shortform);
// the others are logical databases, which the primary of their Cluster is asked to bring about.
//
// The operator has no password of any superuser: it asks PID 1 of the primary, which works over its own socket (package
// instance/databases). What was asked for and found so is remembered, and asked again now and then, or when it changes.
package database
