// Package clustertest has stand-ins for tests of the Cluster controller: instances that answer what a test tells them to.
// Everything else of such tests is real, the API server first of all.
package clustertest
