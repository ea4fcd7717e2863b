// Images makes the development images without Docker and without a registry:
// Debian packages, merged into one layer, written as an archive that is loaded
// into a cluster's nodes. See README.md.
package main
