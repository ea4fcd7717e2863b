// Package instanceapi is the contract between the operator and PID 1 of a database pod.
//
// The operator renders a Config for a Cluster, stores it in a ConfigMap that is mounted into the pods (the truth when a
// pod starts, also while the API server is away), and puts it to a running instance over HTTPS (the fast path). An
// instance answers with its Status. Both are JSON; unknown fields are ignored, so that either side may be the newer one.
// The package holds data and paths only.
package instanceapi
