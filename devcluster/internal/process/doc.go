// Package process starts programs that outlive the tool, finds them again, and stops
// them. Each has a file with its process ID and its start time, so that a process
// that merely got the same ID is never mistaken for it.
package process
