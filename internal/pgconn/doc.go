// Package pgconn connects to PostgreSQL servers: over the Unix socket as the superuser, and over TLS as a replica.
package pgconn
