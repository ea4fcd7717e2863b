package pgbin

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/instance/process"
)

func TestParseVersion(t *testing.T) {
	for out, want := range map[string]string{
		"postgres (PostgreSQL) 17.5 (Debian 17.5-1.pgdg120+1)\n": "17.5/17",
		"postgres (PostgreSQL) 18beta1\n":                        "18beta1/18",
		"postgres (PostgreSQL) 19devel\n":                        "19devel/19",
		"bash 5.2":                                               "error",
	} {
		version, major, err := parseVersion(out)

		got := fmt.Sprintf("%s/%d", version, major)
		if err != nil {
			got = "error"
		}

		if got != want {
			t.Errorf("%q: %s, want %s", out, got, want)
		}
	}
}

func TestFind(t *testing.T) {
	table, err := process.NewTable(clock.RealClock{})
	if err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()

	go table.Run(ctx)

	root := t.TempDir()
	for dir, version := range map[string]string{"lib/15/bin": "15.18", "lib/17/bin": "17.5", "pgsql/bin": "16.1"} {
		install(t, filepath.Join(root, dir), version)
	}

	// A folder with only some of the programs, as an image with nothing but the client has, does not count.
	install(t, filepath.Join(root, "client"), "18.0")

	if err := os.Remove(filepath.Join(root, "client/initdb")); err != nil {
		t.Fatal(err)
	}

	finder := Finder{
		Path:   filepath.Join(root, "client") + ":" + filepath.Join(root, "nowhere"),
		Places: []string{filepath.Join(root, "lib/*/bin"), filepath.Join(root, "pgsql/bin")}, Table: table,
	}

	for major, want := range map[int]string{0: "17.5", 15: "15.18", 16: "16.1", 17: "17.5"} {
		found, err := finder.Find(ctx, major)
		if err != nil || found.Version != want {
			t.Errorf("major %d: %+v, %v, want %s", major, found, err, want)
		}
	}

	_, err = finder.Find(ctx, 18)
	if err == nil {
		t.Fatal("found a version that is not there")
	}

	for _, want := range []string{"PostgreSQL 18", "pg_controldata", "lib/*/bin", "PostgreSQL 17.5"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not name %s", err, want)
		}
	}
}

func install(t *testing.T, dir, version string) {
	t.Helper()

	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}

	for _, name := range needed() {
		script := "#!/bin/sh\necho '" + name + " (PostgreSQL) " + version + " (Test)'\n"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
}
