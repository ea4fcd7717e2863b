package postgres

import (
	"strings"
	"testing"
)

func TestParseMajorFromImage(t *testing.T) {
	digest := "@sha256:" + strings.Repeat("0", 64)
	tests := map[string]int{
		"postgres:17":             17,
		"postgres:17.5":           17,
		"postgres:17.5-bookworm":  17,
		"postgres:19beta1-alpine": 19,
		"postgres:18rc1":          18,
		"registry.example.com/org/postgresql:16-minimal-trixie": 16,
		"registry.local:5000/postgres:15.4" + digest:            15,
		"registry.local:5000/pg/postgres:14-202601":             14,
		"postgres:12.20":                        12,
		"postgres":                              0,
		"postgres:latest":                       0,
		"postgres:v17":                          0,
		"postgres:17alpine":                     0,
		"registry.local:5000/postgres":          0,
		"registry.local:5000/postgres" + digest: 0,
		"postgres" + digest:                     0,
		"postgres:20260101":                     0,
		"postgres:":                             0,
		"":                                      0,
	}
	for image, want := range tests {
		got, ok := ParseMajorFromImage(image)
		if got != want || ok != (want != 0) {
			t.Errorf("%s: got %d, %v; want %d", image, got, ok, want)
		}
	}
}

func TestSupported(t *testing.T) {
	tests := map[int]string{
		14: "", 17: "", 19: "",
		11: "PostgreSQL 11 is not supported, use 14 to 19",
		12: "PostgreSQL 12 reached its end of life in November 2024, use 14 to 19",
		13: "PostgreSQL 13 reached its end of life in November 2025, use 14 to 19",
		20: "PostgreSQL 20 is newer than this operator knows, use 14 to 19, or upgrade the operator",
	}
	for major, want := range tests {
		got := ""
		if err := Supported(major); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%d: got %q, want %q", major, got, want)
		}
	}
}

func TestParseVersion(t *testing.T) {
	tests := map[string]string{
		"postgres (PostgreSQL) 17.5 (Debian 17.5-1)\n":  "17.5",
		"postgres (PostgreSQL) 19beta3":                 "19beta3",
		"postgres (PostgreSQL) 19rc1 (Debian 19~rc1-1)": "19rc1",
		"pg_controldata (PostgreSQL) 15.18":             "15.18",
		"postgres (PostgreSQL) 20devel":                 "20devel",
		"17.5":                                          "17.5",
		"17.5 (Debian 17.5-1.pgdg120+1)":                "17.5",
		"170005":                                        "17.5",
		"140023":                                        "14.23",
		"18":                                            "18.0",
		"postgres (PostgreSQL) ":                        "",
		"":                                              "",
		"seventeen":                                     "",
		"17x":                                           "",
		"17.":                                           "",
		"99999999999999999999":                          "",
	}
	for text, want := range tests {
		version, err := ParseVersion(text)
		got := ""
		if err == nil {
			got = version.String()
		}
		if got != want {
			t.Errorf("%q: got %q (%v), want %q", text, got, err, want)
		}
	}
}

func FuzzParseVersion(f *testing.F) {
	f.Add("postgres (PostgreSQL) 17.5 (Debian 17.5-1)")
	f.Add("19beta3")
	f.Add("170005")
	f.Fuzz(func(t *testing.T, text string) {
		version, err := ParseVersion(text)
		if err != nil {
			return
		}
		again, err := ParseVersion(version.String())
		if err != nil || version.Major < 100000 && again != version {
			t.Errorf("%q: %+v became %+v (%v)", text, version, again, err)
		}
	})
}

func FuzzParseMajorFromImage(f *testing.F) {
	f.Add("registry:5000/postgres:17.5-bookworm@sha256:00")
	f.Add("postgres:19beta1")
	f.Fuzz(func(t *testing.T, image string) {
		major, ok := ParseMajorFromImage(image)
		if ok != (major > 0) || major > 999 {
			t.Errorf("%q: %d, %v", image, major, ok)
		}
	})
}
