// Package node runs a node: a process tree in network, process, mount, host name and
// IPC namespaces of its own, much as a machine would be. Killing its first process is
// a power cut: the kernel ends the rest, and takes mounts and links with them.
package node
