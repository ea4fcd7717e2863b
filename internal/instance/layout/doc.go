// Package layout says where PID 1 finds and puts its files. It is a value so that several instances can run on one
// machine in tests; in a pod it is package instanceapi's paths.
package layout
