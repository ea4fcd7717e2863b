// Package v1 holds the kinds of postgresql.caretaker.dev: Cluster, a highly available PostgreSQL; ClusterTerm, the
// record that arbitrates who its primary is; and Database, a database in a Cluster or one with a Cluster of its own.
//
// Field names and defaults follow CloudNativePG wherever both have the field, so that its users can move. Validation is
// CEL in the CRD first; what CEL cannot see is checked at reconcile and turns into the condition Stalled.
//
// +kubebuilder:object:generate=true
// +groupName=postgresql.caretaker.dev
package v1
