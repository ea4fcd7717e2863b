// Package build makes the objects of a Cluster, one file per kind. It is pure: the same input gives the same object.
//
// Every object carries its type, our labels, the labels and annotations that the user wants inherited, an owner
// reference to the Cluster (volumes and the term record only where the deletion policy is Delete) and the hash of
// itself that package diff compares.
package build
