// Package kube is what tests need of the Kubernetes cluster that KUBECONFIG names: clients, commands in containers,
// waiting with a deadline, and a dump of a namespace when a test failed.
package kube
