// Package objectstore puts, gets and lists objects in S3 and what speaks its protocol, in Google Cloud Storage, in Azure
// Blob Storage, and in a directory on a volume.
//
// Drivers (dir.go, s3.go, gcs.go, azure.go) make one attempt and sort its error; retry.go gives every driver the same
// retries, deadlines and resumed reads; open.go puts them together and opens a store anew when its credentials change on
// disk. A network error is never "not found": ErrNotFound is what the store itself said.
//
// All drivers pass the same conformance tests, against real servers.
package objectstore
