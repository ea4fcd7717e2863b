// Package serverconf renders the configuration of this instance's PostgreSQL from the Cluster's and from what only the
// instance knows: its role, its paths, its image's version, the size of its volume.
package serverconf
