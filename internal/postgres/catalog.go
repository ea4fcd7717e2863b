package postgres

import (
	_ "embed"
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

// Lookup finds a parameter of that major.
func Lookup(major int, name string) (Parameter, bool) {
	variants := loadCatalog().variants(major, strings.ToLower(name))
	if len(variants) == 0 {
		return Parameter{}, false
	}
	return variants[len(variants)-1], true
}

// catalog holds every parameter of every major: by lower-case name, oldest major first.
// It costs some 100 µs and 150 KB to load, so it is loaded for a check and let go.
type catalog map[string][]Parameter

func loadCatalog() catalog {
	c := make(catalog, 450)
	for line := range strings.Lines(parametersText) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 9 || strings.HasPrefix(line, "#") {
			continue
		}
		low, high, _ := strings.Cut(f[1], "-")
		from, _ := strconv.Atoi(low)
		to, _ := strconv.Atoi(high)
		p := Parameter{
			Name: f[0], Context: f[2], Type: f[3], Unit: f[4], Min: f[5], Max: f[6], Boot: f[7], Enum: f[8],
			from: from, to: to,
		}
		key := strings.ToLower(p.Name)
		c[key] = append(c[key], p)
	}
	return c
}

// variants are the rows of a name that are in force in a major; in any, when it is 0.
func (c catalog) variants(major int, name string) []Parameter {
	var found []Parameter
	for _, p := range c[name] {
		if major == 0 || p.from <= major && major <= p.to {
			found = append(found, p)
		}
	}
	return found
}
