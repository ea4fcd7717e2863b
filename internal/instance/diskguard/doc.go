// Package diskguard keeps a data volume from running full: PostgreSQL ends in a PANIC when it cannot write its log, and
// may then not be able to start again.
//
// A reserve is kept back as a file. When little room is left, writes are refused; reads go on. When hardly any is left,
// as writes outran that, the reserve is given up, so that PostgreSQL can end what it has begun. Once the volume has grown,
// or something was deleted, writes resume and the reserve is made again. Decide is the rule, and pure; Reserve is the file.
package diskguard
