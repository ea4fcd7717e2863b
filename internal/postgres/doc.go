// Package postgres knows PostgreSQL's own rules: versions, parameters, pg_hba and
// pg_ident, pg_controldata, LSNs, timelines, WAL names and connection strings.
//
// It is pure: text and values in, text and values out. No I/O, no clock, no context.
//
// The parameter tables are taken from real servers' pg_settings and are never
// edited by hand. To regenerate parameters.tsv, see gen/main.go:
//
//	go run ./internal/postgres/gen 14=/opt/pg14/bin … 19=/opt/pg19/bin
package postgres
