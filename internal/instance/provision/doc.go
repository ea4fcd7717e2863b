// Package provision makes the data of an instance: a new database, a copy of a foreign server, a copy of the primary.
//
// Data are made in a folder that gets its real name only when it is whole; an attempt that was cut short is thrown away.
package provision
