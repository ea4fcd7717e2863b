// Package tlsfiles copies certificates and keys from where Secrets are mounted to where PostgreSQL may read them.
//
// PostgreSQL refuses a key that others may read, and mounted files are readable by the pod's group. The kubelet replaces
// mounted files at any time, one key at a time from our view; so a pair is only taken over when it fits together.
package tlsfiles
