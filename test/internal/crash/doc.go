// Package crash tests that a controller survives its own death at any moment.
//
// AfterEveryWrite runs a scenario undisturbed and counts the controller's writes. Then it runs the scenario again once
// for each write, kills the controller right after that write, starts a new one, and demands the same end state, and
// after that no more writes. Any controller can be tested so: the scenario makes it anew with the clients of a Process.
package crash
