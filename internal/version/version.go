// Package version says which build this is.
package version

// version is stamped by the linker.
var version = "dev" //nolint:gochecknoglobals // set by -ldflags -X, never written at run time

// String is the version of this build, such as v0.1.0, or dev.
func String() string { return version }
