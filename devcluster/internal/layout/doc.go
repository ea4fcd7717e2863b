// Package layout decides where everything of a cluster is: its files under the
// state directory, and its names and addresses on the machine. Names and addresses
// follow from the cluster's slot, a small number no two running clusters of one
// machine share.
package layout
