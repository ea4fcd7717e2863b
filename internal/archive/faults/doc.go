// Package faults holds tests of the archive as a whole: real servers, their archivers, base backups and recoveries over a store
// that fails in every way that stores fail. Whatever happens, the store is complete or can be seen not to be, and a recovery
// ends where it was told to, or says what is missing.
package faults
