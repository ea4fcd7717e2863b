// Package build makes the objects that an AppConfig owns. It is pure.
package build
