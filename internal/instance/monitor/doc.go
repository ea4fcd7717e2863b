// Package monitor asks the local PostgreSQL how it is: one short question for readiness, a longer one for the status.
package monitor
