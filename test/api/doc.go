// Package api holds the tests against a real API server: what it refuses, what it takes, and the controllers with
// instances played by package clustertest.
//
// `make test-api` runs them; see test/README.md.
package api
