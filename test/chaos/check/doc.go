// Package check judges a history: whether all that was acknowledged is there and nothing else, in the order in which it was
// written; whether registers were linearizable; whether two primaries ever acknowledged at a time; and how long the longest
// time without an acknowledged write was. It is pure: a history and the end state go in, violations come out.
package check
