// Package cluster puts the parts together: it starts, inspects, disturbs and removes
// a cluster. What it knows about a cluster it keeps in the cluster's state folder, so
// that each run of the tool can go on where an earlier one ended or was killed.
package cluster
