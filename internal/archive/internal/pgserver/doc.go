// Package pgserver runs PostgreSQL servers for tests, on this machine: of the versions that are installed, and of those that
// there is a development image of (dist/images), whose programs are unpacked and run with the image's own libraries.
package pgserver
