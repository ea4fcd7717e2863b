// Package storeconfig says where an object store is and how to get in, and what keys it takes. It knows no client of any
// store: whoever only writes a configuration down, as PID 1 of a database pod does, links none (see ADR 0113). Package
// objectstore opens what is described here.
package storeconfig
