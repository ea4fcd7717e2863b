// Package ha is the protocol.
package ha
