// Package databases brings a logical database to what is wished: its owner, itself, its schemas and extensions.
//
// Everything is looked at first and changed only where it differs, so that asking again does nothing. It runs as superuser
// in databases whose owners are not to be trusted: the search path of its sessions is empty, every name is qualified and
// quoted.
package databases
