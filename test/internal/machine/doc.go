// Package machine plays everything around the operator in a test with nothing but an API server: the scheduler, the
// kubelets, the volumes' provisioner, and PID 1 of each database pod. Turn moves all of them one step on.
//
// It plays PID 1's part of the contract only: the term record, the role labels, the reports. That real instances keep the
// same contract is what the end-to-end tests are for.
package machine
