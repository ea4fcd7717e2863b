// Package fault breaks things: processes, pods, nodes, networks and the API server. Each fault can say whether it really
// happened, and can be undone.
package fault
