package postgres

// LineProblem is one thing wrong with a line of pg_hba or pg_ident.
type LineProblem struct {
	// Line counts the manifest's entries from 1.
	Line int
	Text string
	// Message says what is wrong and what to do.
	Message string
}

// ValidateHBA checks postgresql.pg_hba of the manifest, since a server refuses the whole
// file for one bad line. Major 0 takes what any supported major takes.
func ValidateHBA(major int, rules []string) []LineProblem {
	return nil
}

// ValidateIdent checks postgresql.pg_ident of the manifest.
func ValidateIdent(major int, lines []string) []LineProblem {
	return nil
}
