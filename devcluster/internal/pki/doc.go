// Package pki makes the cluster's certificates and keys, as kubeadm would.
package pki
