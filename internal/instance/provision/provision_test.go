package provision

import (
	"slices"
	"testing"

	"github.com/caretaker-dev/caretaker/internal/instanceapi"
)

func TestInitDBArgs(t *testing.T) {
	in := instanceapi.InitDB{Encoding: "UTF8", Locale: "C", LocaleCType: "de_DE.UTF-8", DataChecksums: true, WalSegmentSizeMB: 64}
	args := initDBArgs("/x", 17, in)

	for _, want := range []string{"--encoding=UTF8", "--locale=C", "--lc-ctype=de_DE.UTF-8", "--data-checksums", "--wal-segsize=64", "--username=postgres"} {
		if !slices.Contains(args, want) {
			t.Errorf("%v has no %s", args, want)
		}
	}

	// PostgreSQL 18 has checksums unless told otherwise; older ones do not know the flag.
	in.DataChecksums = false
	if slices.Contains(initDBArgs("/x", 17, in), "--no-data-checksums") || !slices.Contains(initDBArgs("/x", 18, in), "--no-data-checksums") {
		t.Error("checksums cannot be left out by version")
	}
}

func TestParseProgress(t *testing.T) {
	for line, want := range map[string]int{
		"23179/23179 kB (100%), 1/1 tablespace":                         100,
		"    0/23179 kB (0%), 0/1 tablespace":                           0,
		" 9000/23179 kB (38%), 0/1 tablespace (…/base/16384/2619     )": 38,
		"24000/23179 kB (103%), 1/1 tablespace":                         100,
		"waiting for checkpoint":                                        -1,
	} {
		percent, ok := parseProgress(line)
		if !ok {
			percent = -1
		}

		if percent != want {
			t.Errorf("%q: %d, want %d", line, percent, want)
		}
	}
}

func TestConnWord(t *testing.T) {
	if got := ConnWord("application_name", `it's a \ test`); got != `application_name='it\'s a \\ test'` {
		t.Error(got)
	}
}
