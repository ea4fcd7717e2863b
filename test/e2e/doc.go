// Package e2e tests Caretaker on a real Kubernetes cluster: real nodes, real PostgreSQL, real kills.
//
// `make test-e2e` brings up the development cluster and runs them; KUBECONFIG points them at another one. The README of
// the folder test says which environment variables choose images and storage classes.
package e2e
