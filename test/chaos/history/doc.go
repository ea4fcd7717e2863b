// Package history is what the clients of a fault test did and what they were told: one operation per line of JSON, with
// the times of its beginning and its answer, so that a checker can judge later, and anyone can read it.
package history
