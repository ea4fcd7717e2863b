package postgres

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func input(major int) Input {
	return Input{
		Major:            major,
		MemoryLimitBytes: 2 * gib,
		Storage:          Storage{Bytes: 20 * gib},
		Paths: Paths{
			Sockets: "/run/caretaker/sockets", Logs: "/run/caretaker/log",
			HBA: "/run/caretaker/pg_hba.conf", Ident: "/run/caretaker/pg_ident.conf",
			ServerCert: "/tls/tls.crt", ServerKey: "/tls/tls.key", ClientCA: "/tls/ca.crt",
		},
		ClusterName:    "orders-0",
		ArchiveCommand: `/caretaker/bin/caretaker-archive wal-push "%p"`,
	}
}

func TestEveryRenderedParameterIsOneOfItsMajor(t *testing.T) {
	for major := MinMajor; major <= MaxMajor; major++ {
		for name, value := range Settings(input(major)) {
			parameter, ok := Lookup(major, name)
			if !ok {
				t.Errorf("PostgreSQL %d has no parameter %s", major, name)
				continue
			}
			if message := parameter.checkValue(value); message != "" {
				t.Errorf("PostgreSQL %d, %s: %s", major, name, message)
			}
		}
	}
}

func TestSettingsOrder(t *testing.T) {
	tests := map[string]struct {
		change func(*Input)
		want   map[string]string
	}{
		"later failover and backup work from the first day": {
			change: func(*Input) {},
			want: map[string]string{
				"wal_level": "replica", "archive_mode": "always", "archive_timeout": "60s", "wal_log_hints": "on",
				"hot_standby": "on", "synchronous_commit": "on", "max_wal_senders": "10", "max_replication_slots": "32",
				"wal_retrieve_retry_interval": "100ms", "ssl": "on", "password_encryption": "scram-sha-256",
			},
		},
		"the user changes what is free": {
			change: func(in *Input) {
				in.User = map[string]string{"Work_Mem": "8MB", "archive_timeout": "5min", "shared_buffers": "1GB"}
			},
			want: map[string]string{
				"work_mem": "8MB", "archive_timeout": "5min", "shared_buffers": "1GB", "effective_cache_size": "1536MB",
			},
		},
		"a server whose commits wait for replicas does not open by itself after a crash": {
			change: func(in *Input) { in.SynchronousStandbyNames = `ANY 1 ("a")` },
			want:   map[string]string{"restart_after_crash": "off"},
		},
		"one whose commits do not wait goes on at once": {
			change: func(*Input) {},
			want:   map[string]string{"restart_after_crash": "on"},
		},
		"logical is the one other wal_level": {
			change: func(in *Input) { in.User = map[string]string{"wal_level": "logical"} },
			want:   map[string]string{"wal_level": "logical"},
		},
		"a reserved one never reaches a server": {
			change: func(in *Input) {
				in.User = map[string]string{
					"wal_level": "minimal", "fsync": "off", "archive_command": "rm %p", "SSL": "off",
					"unix_socket_permissions": "0700", "synchronous_standby_names": "*",
				}
			},
			want: map[string]string{
				"wal_level": "replica", "fsync": "on", "ssl": "on", "unix_socket_permissions": "",
				"archive_command": `/caretaker/bin/caretaker-archive wal-push "%p"`, "synchronous_standby_names": "",
			},
		},
		"without an archive segments are let go": {
			change: func(in *Input) { in.ArchiveCommand = "" },
			want:   map[string]string{"archive_mode": "always", "archive_command": "true"},
		},
		"PID 1 has the last word": {
			change: func(in *Input) {
				in.User = map[string]string{"max_connections": "50", "default_transaction_read_only": "off"}
				in.Overrides = map[string]string{"max_connections": "200", "default_transaction_read_only": "on"}
			},
			want: map[string]string{"max_connections": "200", "default_transaction_read_only": "on"},
		},
		"libraries in their order": {
			change: func(in *Input) { in.SharedPreloadLibraries = []string{"pg_stat_statements", "odd, name"} },
			want:   map[string]string{"shared_preload_libraries": `pg_stat_statements,"odd, name"`},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			in := input(17)
			tc.change(&in)
			settings, got := Settings(in), map[string]string{}
			for parameter := range tc.want {
				got[parameter] = settings[parameter]
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("settings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRecoverySettingsAreClearedByAReload(t *testing.T) {
	settings := Settings(input(17))
	for _, name := range []string{"primary_conninfo", "primary_slot_name", "restore_command", "synchronous_standby_names"} {
		if value, ok := settings[name]; !ok || value != "" {
			t.Errorf("%s = %q, %v: want it rendered and empty", name, value, ok)
		}
	}
}

func TestLogFormatOfTheMajor(t *testing.T) {
	for major, want := range map[int]string{14: "csvlog postgres.csv", 15: "jsonlog postgres.json", 19: "jsonlog postgres.json"} {
		got := Settings(input(major))["log_destination"] + " " + LogFile(major)
		if got != want {
			t.Errorf("PostgreSQL %d: %s, want %s", major, got, want)
		}
	}
}

func TestRenderConfQuotes(t *testing.T) {
	got := RenderConf(map[string]string{"b": `it's C:\x` + "\nend", "a": ""})
	want := "# Written by Caretaker; changes made here are lost.\na = ''\nb = 'it''s C:\\\\x\\nend'\n"
	if got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestConfHashFollowsContent(t *testing.T) {
	first := ConfHash(Settings(input(17)))
	if again := ConfHash(Settings(input(17))); again != first {
		t.Errorf("the same settings gave %s and %s", first, again)
	}
	changed := input(17)
	changed.User = map[string]string{"work_mem": "8MB"}
	if other := ConfHash(Settings(changed)); other == first {
		t.Error("a changed parameter left the hash as it was")
	}
}

func TestSizes(t *testing.T) {
	tests := map[string]struct {
		memory  int64
		storage Storage
		want    string
	}{
		"unknown machine": {
			want: "80MB 1024MB 512MB 4096MB - -",
		},
		"2 GiB of memory, large volume": {
			memory: 2 * gib, storage: Storage{Bytes: 100 * gib},
			want: "80MB 1024MB 512MB 25600MB 512MB 1536MB",
		},
		"1 GiB volume": {
			memory: 256 * mib, storage: Storage{Bytes: gib},
			want: "80MB 128MB 64MB 256MB 64MB 192MB",
		},
		"1 GiB volume for WAL alone": {
			storage: Storage{Bytes: gib, WALOnly: true},
			want:    "80MB 256MB 128MB 512MB - -",
		},
		"64 MiB segments": {
			storage: Storage{Bytes: 10 * gib, WALSegmentBytes: 64 * mib},
			want:    "320MB 1280MB 512MB 2560MB - -",
		},
		"tiny memory": {
			memory: 200 * kib,
			want:   "80MB 1024MB 512MB 4096MB 128kB 150kB",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			settings := sizes(Input{MemoryLimitBytes: tc.memory, Storage: tc.storage})
			var got []string
			for _, parameter := range []string{
				"min_wal_size", "max_wal_size", "wal_keep_size", "max_slot_wal_keep_size", "shared_buffers", "effective_cache_size",
			} {
				value := settings[parameter]
				if value == "" {
					value = "-"
				}
				got = append(got, value)
			}
			if diff := cmp.Diff(tc.want, strings.Join(got, " ")); diff != "" {
				t.Error(diff)
			}
		})
	}
}
