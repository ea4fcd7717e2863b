package postgres

import (
	_ "embed"
	"slices"
	"strings"
)

// reservedText has one reserved parameter a line: name, accepted values (joined by "|",
// may be empty), reason; separated by tabs. Lines with # are comments.
//
//go:embed reserved.tsv
var reservedText string

// Reserved is a parameter that Caretaker sets itself.
type Reserved struct {
	// Name of the parameter.
	Name string
	// Accepted are the values that a manifest may name all the same: they are ours.
	Accepted []string
	// Reason says why it is reserved and what to use instead.
	Reason string
}

// ReservedParameters lists the reserved parameters, sorted by name.
func ReservedParameters() []Reserved {
	var all []Reserved
	for line := range strings.Lines(reservedText) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(fields) != 3 || strings.HasPrefix(line, "#") {
			continue
		}
		r := Reserved{Name: fields[0], Reason: fields[2]}
		if fields[1] != "" {
			r.Accepted = strings.Split(fields[1], "|")
		}
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b Reserved) int { return strings.Compare(a.Name, b.Name) })
	return all
}

func reservedByName() map[string]Reserved {
	byName := make(map[string]Reserved)
	for _, r := range ReservedParameters() {
		byName[r.Name] = r
	}
	return byName
}

// accepts compares as PostgreSQL would: "1", "yes" and "on" are one value.
func (r Reserved) accepts(value string) bool {
	return slices.ContainsFunc(r.Accepted, func(ours string) bool { return sameValue(ours, value) })
}
