// Package apply is the only writer of the objects that a controller owns: server-side apply under one field owner.
//
// What to write is decided before, with package diff: an object that is as it should be is not written. What is new is
// claimed first: an object of the same name that is not ours is never overwritten.
package apply
