// Package naming is the one place for the name, the labels and the annotations of every object that Caretaker makes.
//
// It is pure. Names that users see are fixed by the product's design: services <cluster>-rw, -ro and -r, secrets
// <cluster>-app, -ca, -server, -replication and -superuser, pods and volumes <cluster>-0 and up.
package naming
