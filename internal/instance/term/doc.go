// Package term reads and writes the term record: who leads the Cluster.
//
// The record is the only arbiter between instances. It is read live, never from a cache, and changes only by
// compare-and-swap on its resourceVersion.
package term
