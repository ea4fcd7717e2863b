// Package page writes tables that were measured into pages of the documentation, between their marks.
package page
