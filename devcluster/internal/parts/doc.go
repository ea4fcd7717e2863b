// Package parts builds the programs a cluster consists of, once: they are kept in a
// cache of the user's, in one folder per part and version.
package parts
