// Command apply measures how long a Cluster takes from being applied until all of its instances are ready.
//
// It makes and removes a Cluster several times on the Kubernetes cluster that KUBECONFIG names, and prints each time,
// the fastest, the median and the slowest. Nothing else should run there meanwhile.
package main
