// Package decide decides which version of a configuration is in use, what to write, and what to tell. It is pure and total.
//
// Content that was kept before has its version already; new content is the next one. A template that fails, a Secret that
// is missing or a version that is not kept leave everything as it is.
package decide
