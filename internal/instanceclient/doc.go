// Package instanceclient talks to the status server of an instance: PID 1 of a database pod.
//
// The connection is mutual TLS. The server's certificate is verified by its chain only, not by its host name, because
// users bring certificates of their own whose names are those of the services. Every call is short: a caller that has
// not heard from an instance within a call's time treats it as unreachable and asks again later.
package instanceclient
