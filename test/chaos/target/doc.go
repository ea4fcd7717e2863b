// Package target is what a fault test is made on: a PostgreSQL cluster in Kubernetes, found by labels, so that it may be
// anyone's; what only Caretaker knows of itself (terms, conditions, switchover by annotation); and the development cluster's
// nodes, whose processes and networks are this machine's.
package target
