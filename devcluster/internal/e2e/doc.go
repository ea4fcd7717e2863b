// Package e2e tests the tool by running a cluster. Its tests need root and some
// minutes; DEVCLUSTER_E2E=1 asks for them.
package e2e
