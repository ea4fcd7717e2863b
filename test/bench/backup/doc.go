// Command backup measures base backups beside pgBackRest and pg_basebackup piped to zstd, in one run on the same data.
//
// It makes a PostgreSQL server with tables, indexes and large objects of the wanted size, and then, in turn and several
// times: a full backup and a restore with each tool, and an incremental backup after 1 % of the blocks have changed. It
// prints times, sizes, CPU seconds and peak memory as a table for docs/benchmarks.md. Nothing else should run meanwhile.
package main
