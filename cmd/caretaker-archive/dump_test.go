package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caretaker-dev/caretaker/internal/archiveapi"
	"github.com/caretaker-dev/caretaker/internal/storeconfig"
)

// programsOf are scripts in place of the database's programs.
func programsOf(t *testing.T, scripts map[string]string) {
	t.Helper()

	dir := t.TempDir()
	for name, script := range scripts {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
			t.Fatal(err)
		}
	}

	t.Setenv("PATH", dir+":/usr/bin:/bin")
}

func run(t *testing.T, args ...string) (string, error) {
	t.Helper()

	var out bytes.Buffer

	cmd := newCommand()
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&bytes.Buffer{})
	err := cmd.ExecuteContext(t.Context())

	return out.String(), err
}

// TestDumpOfAPod is what the operator's pods do, and what they leave as last words.
func TestDumpOfAPod(t *testing.T) {
	store, secret, words := t.TempDir(), t.TempDir(), filepath.Join(t.TempDir(), "words")

	for key, value := range map[string]string{"username": "me", "password": "secret", "host": "db", "dbname": "app"} {
		if err := os.WriteFile(filepath.Join(secret, key), []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	told, err := json.Marshal(archiveapi.Dump{
		Name: "shop/nightly", Source: archiveapi.DumpServer{Engine: "postgresql", SSLMode: "require", SecretDir: secret},
		Store: storeconfig.Config{Type: storeconfig.TypeDir, Bucket: store, Prefix: "shop/nightly"}, Retention: "1",
	})
	if err != nil {
		t.Fatal(err)
	}

	t.Setenv(archiveapi.EnvDump, string(told))
	programsOf(t, map[string]string{
		"pg_dump":    `[ "$1" = --version ] && { echo "pg_dump 1"; exit; }; [ "$FAIL" ] && { echo "no such host" >&2; exit 1; }; echo "$PGUSER:$PGPASSWORD@$PGHOST/$PGDATABASE"`,
		"pg_restore": `read -r line; echo "$line -> $PGDATABASE" >"$RESTORED"`,
	})

	lastWords := func() (said archiveapi.DumpResult) {
		content, err := os.ReadFile(words)
		if err != nil || json.Unmarshal(content, &said) != nil {
			t.Fatalf("last words %q: %v", content, err)
		}

		return said
	}

	for range 2 {
		if _, err := run(t, "dump", "--json", "--termination-log="+words); err != nil {
			t.Fatal(err)
		}
	}

	good := lastWords()
	if good.ID == "" || good.Database != "app" || good.Kept != 1 || good.Deleted != 1 || good.Error != "" || good.Warning != "" {
		t.Errorf("it said %+v", good)
	}

	t.Setenv("FAIL", "1")

	if _, err := run(t, "dump", "--termination-log="+words); err == nil || !strings.Contains(lastWords().Error, "pg_dump failed: exit status 1: no such host") {
		t.Errorf("a dump that fails: %v, %+v", err, lastWords())
	}

	if out, err := run(t, "dumps"); err != nil || !strings.Contains(out, good.ID+"  shop/nightly  postgresql  app") || strings.Count(out, "\n") != 2 {
		t.Errorf("%v:\n%s", err, out)
	}

	restored := filepath.Join(t.TempDir(), "restored")
	t.Setenv("RESTORED", restored)

	if out, err := run(t, "dump-restore", "latest"); err != nil || !strings.Contains(out, "restored dump "+good.ID) {
		t.Errorf("%v: %s", err, out)
	}

	if content, err := os.ReadFile(restored); err != nil || string(content) != "me:secret@db/app -> app\n" {
		t.Errorf("pg_restore got %q: %v", content, err)
	}
}
