// Package crypt encrypts what is put into an archive.
//
// Each backup and each WAL object has a data key of its own (AES-256-GCM), stored with it, wrapped for age recipients: one
// whose identity the cluster keeps, so that it can restore by itself, and as many offline ones as the user likes.
//
// Data are sealed in frames of at most 1 MiB. A frame's additional data name its object, its index and whether it is the
// last: frames cannot be moved between objects or within one, and a cut-off object is noticed.
package crypt
