// Package volumes is the cluster's storage: it makes local volumes on nodes, either
// folders or file systems of their own in a file, lets them grow, and removes them.
package volumes
