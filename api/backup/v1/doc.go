// Package v1 holds the kind of backup.caretaker.dev: Backup, logical dumps of a PostgreSQL, MySQL or MongoDB, in Kubernetes or
// not. Its plural is dumps, so that `kubectl get backups` means those of postgresql.caretaker.dev.
//
// +kubebuilder:object:generate=true
// +groupName=backup.caretaker.dev
package v1
