// Package machine finds out whether this machine can run a cluster, and installs the
// Debian packages that one needs.
package machine
