// Package metrics serves the instance's metrics, caretaker_pg_*, from the local PostgreSQL.
//
// A scrape is bounded in time and its answer is used again for a few seconds, so that any number of scrapers costs the
// database no more than one. The queries, and what they mean, are in queries.go.
package metrics
