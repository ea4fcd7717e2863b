// Package cluster is the controller of the kind Cluster.
//
// A pass observes (observe.go), decides (package decide), acts (act.go) and reports (report.go). What the objects look
// like is in package build. Pods, volumes and everything else that belongs to a Cluster are watched, found by label;
// what the instances say of themselves is polled.
package cluster
