// Package shortform compiles the short forms of a PostgreSQL server, the kinds PostgreSQL and Database, to a Cluster of the
// same name, and tells how that Cluster stands in the words of its own status.
//
// The short form owns few fields of the Cluster. All others are the user's to set on the Cluster itself, and stay.
//
// It is pure.
package shortform
