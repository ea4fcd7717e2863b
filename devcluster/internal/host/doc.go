// Package host changes the machine outside the nodes: its links, routes, packet
// filter and control groups. Everything it makes carries the cluster's name, is made
// anew if it is there, and can be removed without knowing what was made.
package host
