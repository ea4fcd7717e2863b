// Package postgres knows PostgreSQL's own rules: versions, parameters, pg_hba and
// pg_ident, pg_controldata, LSNs, timelines, WAL names and connection strings.
//
// It is pure: text and values in, text and values out. No I/O, no clock, no context.
//
// The parameter tables (parameters.tsv) are taken from real servers' pg_settings and never
// edited by hand. To renew them, run gen/dump.sh with each major's newest minor, then
// gen/main.go, as their comments say. 19's table is of its first release candidate.
package postgres
