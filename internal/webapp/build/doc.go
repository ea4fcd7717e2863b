// Package build makes the objects that a WebApp owns, one file for each kind. It is pure.
package build
