package postgres

import "strings"

// IdentInput decides a server's pg_ident.conf.
type IdentInput struct {
	// OSUser is the name that the container's uid has in its /etc/passwd; empty: Superuser.
	OSUser string
	// Lines are postgresql.pg_ident of the manifest, already validated (ValidateIdent).
	Lines []string
}

// RenderIdent writes pg_ident.conf: PID 1's map, then the user's lines.
func RenderIdent(in IdentInput) string {
	user := in.OSUser
	if user == "" {
		user = Superuser
	}
	lines := []string{
		"# Written by Caretaker; changes made here are lost.",
		LocalMap + " " + quoteField(user) + " " + Superuser,
	}
	return strings.Join(append(lines, in.Lines...), "\n") + "\n"
}

// quoteField quotes a pg_hba or pg_ident field, so that no word in it is a keyword and no
// character a separator.
func quoteField(field string) string {
	return `"` + strings.ReplaceAll(field, `"`, `""`) + `"`
}
