// Package owned decides what to write of the objects that one object of an application kind owns.
//
// An Owner names and labels them and tells ours from others'. Changes compares what is wanted with what is there: what
// is missing or not as it should be is applied, what is no longer wanted is deleted. Package application does what is
// decided here.
//
// It is pure.
package owned
