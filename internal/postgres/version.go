package postgres

import (
	"fmt"
	"strconv"
	"strings"
)

const (
	// MinMajor is the oldest major that is supported.
	MinMajor = 14
	// MaxMajor is the newest major that is supported.
	MaxMajor = 19
)

// Version is a server's version.
type Version struct {
	Major int
	Minor int
	// Prerelease is "beta3", "rc1", "devel" or empty.
	Prerelease string
}

// String is PostgreSQL's form: "17.5", "19beta3".
func (v Version) String() string {
	if v.Prerelease != "" {
		return strconv.Itoa(v.Major) + v.Prerelease
	}
	return fmt.Sprintf("%d.%d", v.Major, v.Minor)
}

// Supported says whether Caretaker runs that major; the error says what to use instead.
func Supported(major int) error {
	switch {
	case major >= MinMajor && major <= MaxMajor:
		return nil
	case major > MaxMajor:
		return fmt.Errorf("PostgreSQL %d is newer than this operator knows, use %d to %d, or upgrade the operator",
			major, MinMajor, MaxMajor)
	case major == 12 || major == 13:
		ended := map[int]string{12: "November 2024", 13: "November 2025"}
		return fmt.Errorf("PostgreSQL %d reached its end of life in %s, use %d to %d", major, ended[major], MinMajor, MaxMajor)
	default:
		return fmt.Errorf("PostgreSQL %d is not supported, use %d to %d", major, MinMajor, MaxMajor)
	}
}

// ParseMajorFromImage reads the major from an image's tag, which begins with it:
// "postgres:17.5-bookworm" is 17, "registry:5000/postgres:16-minimal-trixie@sha256:…" is 16.
// A tag like "latest", or none, gives false: then the major must be said otherwise.
func ParseMajorFromImage(image string) (int, bool) {
	name, _, _ := strings.Cut(image, "@")
	path := name[strings.LastIndexByte(name, '/')+1:]
	_, tag, ok := strings.Cut(path, ":")
	if !ok {
		return 0, false
	}
	digits := leadingDigits(tag)
	// What follows must end the number: "17alpine" is no version, "19beta1" is one.
	rest := tag[len(digits):]
	if len(digits) > 3 || rest != "" && !strings.ContainsRune(".-_", rune(rest[0])) && !isPrerelease(rest) {
		return 0, false
	}
	major, err := strconv.Atoi(digits)
	return major, err == nil && major > 0
}

func isPrerelease(text string) bool {
	for _, kind := range []string{"alpha", "beta", "rc", "devel"} {
		if rest, ok := strings.CutPrefix(text, kind); ok {
			return kind == "devel" && rest == "" || leadingDigits(rest) != ""
		}
	}
	return false
}

func leadingDigits(text string) string {
	return text[:len(text)-len(strings.TrimLeft(text, "0123456789"))]
}

// ParseVersion reads a version from the output of "postgres -V", from server_version, or
// from server_version_num: "postgres (PostgreSQL) 17.5 (Debian 17.5-1)", "19beta3", "170005".
func ParseVersion(text string) (Version, error) {
	word := strings.TrimSpace(text)
	if _, after, ok := strings.Cut(word, "(PostgreSQL)"); ok {
		word = after
	}
	fields := strings.Fields(word)
	if len(fields) == 0 {
		return Version{}, versionError(text)
	}
	word = fields[0]
	digits := leadingDigits(word)
	major, err := strconv.Atoi(digits)
	if err != nil || major < 1 {
		return Version{}, versionError(text)
	}
	rest := word[len(digits):]
	switch {
	case rest == "" && major >= 100000:
		return Version{Major: major / 10000, Minor: major % 10000}, nil
	case rest == "":
		return Version{Major: major}, nil
	case rest[0] == '.':
		minor, err := strconv.Atoi(leadingDigits(rest[1:]))
		if err != nil {
			return Version{}, versionError(text)
		}
		return Version{Major: major, Minor: minor}, nil
	case isPrerelease(rest):
		return Version{Major: major, Prerelease: rest}, nil
	default:
		return Version{}, versionError(text)
	}
}

func versionError(text string) error {
	return fmt.Errorf("%q holds no PostgreSQL version: want one like 17.5, 19beta3 or 170005", strings.TrimSpace(text))
}
