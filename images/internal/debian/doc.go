// Package debian gets packages from the Debian archive with this machine's own
// apt, but into directories of its own: neither the machine's package lists
// nor its installed packages change, and no root is needed.
//
// apt does what must not be invented again: it checks the archive's signature
// against the Debian keyring, resolves dependencies, downloads. The mirror is
// the one that the machine's own apt sources name.
package debian
