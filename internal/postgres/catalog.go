package postgres

import (
	_ "embed"
	"iter"
	"strconv"
	"strings"
)

// parametersText has one row for each parameter and range of majors in which it is the
// same. It stays text until it is asked for, and what is parsed points into it.
//
//go:embed parameters.tsv
var parametersText string

// Parameter is one row of a server's pg_settings.
type Parameter struct {
	Name string
	// Context is when it can change: postmaster, sighup, user, …
	Context string
	// Type is bool, integer, real, enum or string.
	Type string
	// Unit is the unit of Min, Max and Boot: B, kB, 8kB, MB, ms, s, min, or empty.
	Unit string
	// Min and Max bound integer and real.
	Min string
	Max string
	// Boot is the built-in default; empty for strings, where it depends on the build.
	Boot string
	// Enum are the values of an enum, joined by "|".
	Enum string

	from, to int
}

// Values are the values that an enum takes.
func (p Parameter) Values() []string {
	if p.Enum == "" {
		return nil
	}
	return strings.Split(p.Enum, "|")
}

// Lookup finds a parameter of that major; the newest major's that has it, for major 0.
func Lookup(major int, name string) (Parameter, bool) {
	found := variants(major, name)
	if len(found) == 0 {
		return Parameter{}, false
	}
	return found[len(found)-1], true
}

// variants are the rows of a name, in any case, that are in force in a major; in any, when it is
// 0. Oldest major first.
func variants(major int, name string) []Parameter {
	var found []Parameter
	for row := range rows(major) {
		if rowName, _, _ := strings.Cut(row, "\t"); strings.EqualFold(rowName, name) {
			p, _ := parseRow(row)
			found = append(found, p)
		}
	}
	return found
}

// rows walks the table's rows that are in force in a major; all, when it is 0. It costs some
// 20 µs and no memory, so that nothing needs to be kept between two questions.
func rows(major int) iter.Seq[string] {
	return func(yield func(string) bool) {
		for line := range strings.Lines(parametersText) {
			row := strings.TrimSuffix(line, "\n")
			if strings.HasPrefix(row, "#") || row == "" || !inForce(row, major) {
				continue
			}
			if !yield(row) {
				return
			}
		}
	}
}

func inForce(row string, major int) bool {
	if major == 0 {
		return true
	}
	_, rest, _ := strings.Cut(row, "\t")
	majors, _, _ := strings.Cut(rest, "\t")
	from, to := parseMajors(majors)
	return from <= major && major <= to
}

// parseMajors reads "14-17".
func parseMajors(text string) (from, to int) {
	low, high, _ := strings.Cut(text, "-")
	from, _ = strconv.Atoi(low)
	to, _ = strconv.Atoi(high)
	return from, to
}

func parseRow(row string) (Parameter, bool) {
	f := strings.Split(row, "\t")
	if len(f) != 9 {
		return Parameter{}, false
	}
	p := Parameter{Name: f[0], Context: f[2], Type: f[3], Unit: f[4], Min: f[5], Max: f[6], Boot: f[7], Enum: f[8]}
	p.from, p.to = parseMajors(f[1])
	return p, true
}
