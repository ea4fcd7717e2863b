package pgbin

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/caretaker-dev/caretaker/internal/instance/process"
)

// Programs are PostgreSQL's programs of one version.
type Programs struct {
	// Dir they lie in.
	Dir string
	// Version such as "17.5".
	Version string
	// Major version.
	Major int

	table *process.Table
	env   []string
}

// programs that must be there for a folder to count.
func needed() []string {
	return []string{"postgres", "initdb", "pg_basebackup", "pg_controldata"}
}

// Places are the patterns of folders to look in after PATH: Debian's and the official image's, a build from source,
// Red Hat's packages.
func Places() []string {
	return []string{"/usr/lib/postgresql/*/bin", "/usr/local/pgsql/bin", "/usr/local/bin", "/usr/pgsql-*/bin", "/opt/postgresql/*/bin"}
}

// Finder looks for programs.
type Finder struct {
	// Path is the environment's PATH.
	Path string
	// Places are patterns of folders to look in after it.
	Places []string
	// Table runs what is found.
	Table *process.Table
	// Env for the programs.
	Env []string
}

// Find takes the newest programs of the wanted major version; of any if it is 0.
func (f Finder) Find(ctx context.Context, major int) (*Programs, error) {
	var (
		best  *Programs
		other []string
	)

	for _, dir := range f.candidates() {
		found, err := f.at(ctx, dir)

		switch {
		case err != nil:
			other = append(other, fmt.Sprintf("%s (%v)", dir, err))
		case major != 0 && found.Major != major:
			other = append(other, fmt.Sprintf("%s (PostgreSQL %s)", dir, found.Version))
		case best == nil || found.Major > best.Major:
			best = found
		}
	}

	if best != nil {
		return best, nil
	}

	return nil, &NotFoundError{Major: major, Looked: append(filepath.SplitList(f.Path), f.Places...), Other: other}
}

// candidates are the folders that hold all that is needed, in order, each once.
func (f Finder) candidates() []string {
	dirs := filepath.SplitList(f.Path)

	for _, place := range f.Places {
		// The only error is a malformed pattern, which matches nothing.
		matches, _ := filepath.Glob(place)
		dirs = append(dirs, matches...)
	}

	var found []string

	for _, dir := range dirs {
		if !filepath.IsAbs(dir) || !hasAll(dir) {
			continue
		}

		if target, err := filepath.EvalSymlinks(dir); err == nil && !slices.Contains(found, target) {
			found = append(found, target)
		}
	}

	return found
}

func hasAll(dir string) bool {
	for _, name := range needed() {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.IsDir() || info.Mode()&0o111 == 0 {
			return false
		}
	}

	return true
}

func (f Finder) at(ctx context.Context, dir string) (*Programs, error) {
	p := &Programs{Dir: dir, table: f.Table, env: f.Env}

	out, err := p.run(ctx, nil, "postgres", "--version")
	if err != nil {
		return nil, err
	}

	p.Version, p.Major, err = parseVersion(out)

	return p, err
}

// parseVersion reads "postgres (PostgreSQL) 17.5 (Debian 17.5-1.pgdg120+1)", "… 18beta1", "… 19devel".
func parseVersion(out string) (version string, major int, err error) {
	match := regexp.MustCompile(`\(PostgreSQL\) ((\d+)[^\s]*)`).FindStringSubmatch(out)
	if match == nil {
		return "", 0, fmt.Errorf("postgres --version says %q", strings.TrimSpace(out))
	}

	major, err = strconv.Atoi(match[2])
	if err != nil {
		return "", 0, fmt.Errorf("postgres --version says %q: %w", strings.TrimSpace(out), err)
	}

	return match[1], major, nil
}

// NotFoundError says that there are no programs of the wanted version.
type NotFoundError struct {
	// Major that was wanted; 0 for any.
	Major int
	// Looked are the folders and patterns that were searched.
	Looked []string
	// Other are folders that hold something else.
	Other []string
}

// Error says what was looked for, where, and what was found instead.
func (e *NotFoundError) Error() string {
	what := "PostgreSQL"
	if e.Major != 0 {
		what = fmt.Sprintf("PostgreSQL %d", e.Major)
	}

	message := fmt.Sprintf("the image has no %s: looked for %s together in %s",
		what, strings.Join(needed(), ", "), strings.Join(e.Looked, ":"))

	if len(e.Other) > 0 {
		message += "; found " + strings.Join(e.Other, ", ")
	}

	return message
}
