// Package testport finds ports for the servers that tests start.
package testport
