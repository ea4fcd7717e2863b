// Package keeper does the small chores in a running PostgreSQL: passwords of the roles that we manage, and replication
// slots for the other members.
package keeper
