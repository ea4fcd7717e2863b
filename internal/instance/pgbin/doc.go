// Package pgbin finds PostgreSQL's programs in whatever image the container runs, and runs them.
package pgbin
