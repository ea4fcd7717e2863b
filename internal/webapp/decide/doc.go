// Package decide decides, over one snapshot of a WebApp, what to write and what to tell. It is pure and total.
//
// The pods wait for what the spec names: the configuration and the database's credentials. Once they run, a dependency
// that disappears does not take them down: they go on as they are, and the status says what is missing.
package decide
