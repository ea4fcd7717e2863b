// Package statusserver answers the kubelet's probes and the operator over HTTPS, on one port.
//
// Probes come without a client certificate. Everything else demands one that the client CA has signed for the
// replication user.
package statusserver
