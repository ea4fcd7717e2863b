// Package version says which build this is.
package version

// version is stamped by the linker, and never written at run time.
var version = "dev"

// String is the version of this build, such as v0.1.0, or dev.
func String() string { return version }
