package debian

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// Source is one entry of apt's list of sources.
type Source struct {
	URIs     []string
	Suites   []string
	SignedBy string
}

// ErrNoMirror says that this machine's apt knows no Debian mirror.
var ErrNoMirror = errors.New("this machine's apt sources name no Debian mirror; name one with --mirror URL")

// FindMirror returns the first source that serves Debian's main archive, read
// from an apt configuration directory (/etc/apt). Security and update suites
// live elsewhere or are incomplete, so they do not count.
func FindMirror(etcApt fs.FS) (Source, error) {
	sources, err := readSources(etcApt)
	if err != nil {
		return Source{}, err
	}
	for _, source := range sources {
		if slices.ContainsFunc(source.Suites, isDebianSuite) && len(source.URIs) > 0 {
			return source, nil
		}
	}
	return Source{}, ErrNoMirror
}

// isDebianSuite knows Debian's suites by name, since a third party's or
// another distribution's source looks the same otherwise.
func isDebianSuite(suite string) bool {
	switch suite {
	case "oldoldstable", "oldstable", "stable", "testing", "unstable",
		"bullseye", "bookworm", "trixie", "forky", "sid":
		return true
	}
	return false
}

func readSources(etcApt fs.FS) ([]Source, error) {
	var files []string
	for _, pattern := range []string{"sources.list", "sources.list.d/*.list", "sources.list.d/*.sources"} {
		matches, err := fs.Glob(etcApt, pattern)
		if err != nil {
			return nil, fmt.Errorf("listing apt sources: %w", err)
		}
		files = append(files, matches...)
	}
	var sources []Source
	for _, file := range files {
		text, err := fs.ReadFile(etcApt, file)
		if err != nil {
			return nil, fmt.Errorf("reading apt source %s: %w", file, err)
		}
		if strings.HasSuffix(file, ".sources") {
			sources = append(sources, parseDeb822Sources(string(text))...)
		} else {
			sources = append(sources, parseListSources(string(text))...)
		}
	}
	return sources, nil
}

// parseListSources reads the one-line format: deb [options] uri suite components.
func parseListSources(text string) []Source {
	var sources []Source
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		kind, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if kind != "deb" {
			continue
		}
		var source Source
		rest = strings.TrimSpace(rest)
		if strings.HasPrefix(rest, "[") {
			options, after, closed := strings.Cut(rest[1:], "]")
			if !closed {
				continue
			}
			rest = after
			for option := range strings.FieldsSeq(options) {
				if value, ok := strings.CutPrefix(option, "signed-by="); ok {
					source.SignedBy = value
				}
			}
		}
		fields := strings.Fields(rest)
		if len(fields) < 2 || strings.HasPrefix(fields[0], "cdrom:") {
			continue
		}
		source.URIs, source.Suites = fields[:1], fields[1:2]
		sources = append(sources, source)
	}
	return sources
}

// parseDeb822Sources reads the stanza format of *.sources files.
func parseDeb822Sources(text string) []Source {
	var sources []Source
	for _, stanza := range ParseControl(text) {
		if !slices.Contains(strings.Fields(stanza["types"]), "deb") || strings.EqualFold(stanza["enabled"], "no") {
			continue
		}
		sources = append(sources, Source{
			URIs:     strings.Fields(stanza["uris"]),
			Suites:   strings.Fields(stanza["suites"]),
			SignedBy: signedByPath(stanza["signed-by"]),
		})
	}
	return sources
}

// signedByPath drops keys that are embedded in the source itself.
func signedByPath(value string) string {
	if strings.HasPrefix(value, "/") {
		return value
	}
	return ""
}

// ParseControl reads Debian's control format: stanzas of "Field: value" with
// continuation lines. Field names become lower case; comments are dropped.
func ParseControl(text string) []map[string]string {
	var (
		stanzas []map[string]string
		current map[string]string
		field   string
	)
	scanner := bufio.NewScanner(strings.NewReader(text))
	scanner.Buffer(nil, len(text)+1)
	for scanner.Scan() {
		line := scanner.Text()
		switch {
		case strings.HasPrefix(line, "#"):
		case strings.TrimSpace(line) == "":
			current = nil
		case line[0] == ' ' || line[0] == '\t':
			if current != nil {
				current[field] += "\n" + strings.TrimSpace(line)
			}
		default:
			if current == nil {
				current = map[string]string{}
				stanzas = append(stanzas, current)
			}
			name, value, _ := strings.Cut(line, ":")
			field = strings.ToLower(name)
			current[field] = strings.TrimSpace(value)
		}
	}
	return stanzas
}
