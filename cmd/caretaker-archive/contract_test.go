package main

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/caretaker-dev/caretaker/internal/archive/basebackup"
	"github.com/caretaker-dev/caretaker/internal/archiveapi"
)

// PID 1 reads some of a manifest's fields without knowing its type: they have the same names, types and values.
func TestBackupIsReadFromAManifest(t *testing.T) {
	manifest := basebackup.Manifest{
		ID: "20261128T233219Z", Parent: "20261128T000000Z", SystemIdentifier: "7300000000000000001", Major: 17,
		Timeline: 3, StartTimeline: 2, StartLSN: 0x5000028, StopLSN: 0x6000100, WALSegmentBytes: 16 << 20,
		Started: time.Unix(1, 0).UTC(), Completed: time.Unix(2, 0).UTC(), DataBytes: 5, StoredBytes: 6,
	}

	t.Run("backup", func(t *testing.T) {
		var out bytes.Buffer
		if err := (&workFlags{asJSON: true}).result(&out, &manifest, ""); err != nil {
			t.Fatal(err)
		}

		var got archiveapi.Result[archiveapi.Backup]
		if err := json.Unmarshal(out.Bytes(), &got); err != nil {
			t.Fatal(err)
		}

		checkBackup(t, got.Result, manifest)
	})

	t.Run("restore", func(t *testing.T) {
		var out bytes.Buffer

		reach := basebackup.Reach{Timeline: 5, Newest: 7, Named: 5}
		if err := (&workFlags{asJSON: true}).result(&out, restoreResult(&basebackup.Restored{Manifest: &manifest}, archiveapi.RecoveryTarget{}, reach), ""); err != nil {
			t.Fatal(err)
		}

		var got archiveapi.Result[archiveapi.Restored]
		if err := json.Unmarshal(out.Bytes(), &got); err != nil {
			t.Fatal(err)
		}

		checkBackup(t, got.Result.Restored.Manifest, manifest)

		if want := (archiveapi.RestoreReach{Timeline: 5, Newest: 7, Named: 5}); got.Result.Reach != want {
			t.Errorf("the reach is %+v, want %+v", got.Result.Reach, want)
		}
	})
}

// PID 1 reads what is left from the result of expire.
func TestWhatIsLeftIsReadFromAnExpiry(t *testing.T) {
	var out bytes.Buffer
	if err := (&workFlags{asJSON: true}).result(&out, &basebackup.Expiry{Left: []string{"a", "b"}}, ""); err != nil {
		t.Fatal(err)
	}

	var got archiveapi.Result[archiveapi.Expiry]
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || !slices.Equal(got.Result.Left, []string{"a", "b"}) {
		t.Errorf("left is %v, %v", got.Result.Left, err)
	}
}

// PID 1 reads how far a copy is from the result of copy, also if something could not be copied.
func TestHowFarACopyIsIsReadFromItsResult(t *testing.T) {
	var out bytes.Buffer
	if err := (&workFlags{asJSON: true}).result(&out, &basebackup.Copied{Backups: []string{"a"}, LastWAL: "b", Bytes: 3, Problems: []string{"c"}}, ""); err != nil {
		t.Fatal(err)
	}

	want := archiveapi.Copied{Backups: []string{"a"}, LastWAL: "b", Bytes: 3, Problems: []string{"c"}}

	var got archiveapi.Result[archiveapi.Copied]
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || !reflect.DeepEqual(got.Result, want) {
		t.Errorf("it is %+v, %v", got.Result, err)
	}
}

func checkBackup(t *testing.T, got archiveapi.Backup, manifest basebackup.Manifest) {
	t.Helper()

	read, written := reflect.ValueOf(got), reflect.ValueOf(manifest)

	for i := range read.NumField() {
		name := read.Type().Field(i).Name
		want := written.FieldByName(name)

		if !want.IsValid() || want.IsZero() {
			t.Errorf("%s: the manifest has no such field, or this test sets none", name)
		} else if !reflect.DeepEqual(read.Field(i).Interface(), want.Interface()) {
			t.Errorf("%s is %v, want %v", name, read.Field(i), want)
		}
	}
}

// What PID 1 starts with arguments of its own choice takes them.
func TestCommandsThatPID1Starts(t *testing.T) {
	for _, args := range [][]string{
		{"archiver", "--config", "f"},
		{
			"backup", "--socket-dir", "d", "--port", "1", "--user", "u", "--data-dir", "d", "--label", "l", "--fast=false", "--workers", "2",
			"--config", "f", "--json",
		},
		{"verify", "ID", "--config", "f", "--json"},
		{"expire", "--keep", "30d", "--config", "f", "--json"},
		{"backups", "delete", "ID", "--config", "f", "--json"},
		{"copy", "--to-config", "g", "--workers", "1", "--keep", "30d", "--config", "f", "--json"},
		{
			"restore", "--data-dir", "d", "--no-recovery", "--backup", "ID", "--target-time", "t", "--target-lsn", "0/1", "--target-xid", "1",
			"--target-name", "n", "--target-timeline", "latest", "--target-immediate", "--target-exclusive", "--workers", "2", "--config", "f", "--json",
		},
	} {
		command, rest, err := newCommand().Find(args)
		if err != nil {
			t.Errorf("%v: %v", args, err)

			continue
		}

		if err := command.ParseFlags(rest); err != nil {
			t.Errorf("%v: %v", args, err)
		} else if err := command.ValidateArgs(command.Flags().Args()); err != nil {
			t.Errorf("%v: %v", args, err)
		}
	}
}

// A configuration that the caller has in a file keeps its credentials when PostgreSQL fetches WAL by it.
func TestRestoreCommand(t *testing.T) {
	for name, c := range map[string]struct {
		flags archiveFlags
		want  string
	}{
		"flags": {
			archiveFlags{storeFlags: storeFlags{store: "s3://bucket/a", region: "eu", caFile: "/a%b.pem"}, server: "db"},
			" wal-fetch --store 's3://bucket/a' --server 'db' --region 'eu' --ca-file '/a%%b.pem' %f %p",
		},
		"config": {archiveFlags{config: "/etc/it's.json"}, ` wal-fetch --config '/etc/it'\''s.json' %f %p`},
	} {
		got, err := c.flags.walFetchCommand()
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if got[len(got)-min(len(got), len(c.want)):] != c.want {
			t.Errorf("%s: %s, want …%s", name, got, c.want)
		}
	}
}
