// Package exposure tells since when a primary has changes that its archive does not have: what would be lost if all of the
// Cluster's volumes were, the recovery point objective (RPO) as it is right now. It is PURE.
package exposure
