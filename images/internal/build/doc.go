// Package build makes images of recipes and keeps what it made in the user's
// cache: downloaded packages, and finished layers by the packages they are
// made of. Clones of the project share the cache under a lock.
package build
