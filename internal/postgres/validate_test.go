package postgres

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestValidate(t *testing.T) {
	tests := map[string]struct {
		major  int
		params map[string]string
		want   []string
	}{
		"good ones": {major: 17, params: map[string]string{
			"max_connections": "100", "shared_buffers": "256MB", "work_mem": "4096", "random_page_cost": "1.1",
			"log_min_duration_statement": "1.5s", "autovacuum": "Yes", "wal_compression": "ZSTD", "synchronous_commit": "remote_apply",
			"pg_stat_statements.max": "5000", "log_line_prefix": "%m [%p] ", "statement_timeout": "30min", "Work_Mem2.x": "1",
		}},
		"reserved, but our own value": {major: 17, params: map[string]string{
			"ssl": "TRUE", "wal_level": "logical", "archive_mode": "always", "fsync": "1", "port": "5432", "listen_addresses": "*",
		}},
		"nothing": {major: 17},
		"reserved": {major: 17, params: map[string]string{"ssl": "off", "archive_command": "cp %p /x"}, want: []string{
			"archive_command: is set by Caretaker: WAL archiving is done by Caretaker; use spec.backup",
			"ssl: is set by Caretaker: standbys authenticate with TLS certificates; require TLS of clients with hostssl in postgresql.pg_hba (accepted: on)",
		}},
		"file inclusion": {major: 17, params: map[string]string{"include": "/etc/passwd"}, want: []string{
			"include: is set by Caretaker: files of the pod are not configuration; name each parameter in postgresql.parameters",
		}},
		"misspelt": {major: 17, params: map[string]string{"max_conections": "10", "shard_bufers": "1GB"}, want: []string{
			"max_conections: is not a parameter of PostgreSQL 17: did you mean max_connections?",
			"shard_bufers: is not a parameter of PostgreSQL 17: did you mean shared_buffers?",
		}},
		"like nothing known": {major: 17, params: map[string]string{"xyzzy_plugh_frobnicate": "1"}, want: []string{
			"xyzzy_plugh_frobnicate: is not a parameter of PostgreSQL 17: check its spelling, or put the extension's name and a dot before it",
		}},
		"bad name of an extension's": {major: 17, params: map[string]string{"my-ext.param": "1"}, want: []string{
			"my-ext.param: is not a valid name for an extension's parameter: use words of letters, digits and _, with dots between",
		}},
		"removed": {major: 17, params: map[string]string{"old_snapshot_threshold": "1h"}, want: []string{
			"old_snapshot_threshold: was removed in PostgreSQL 17: remove it",
		}},
		"not yet there": {major: 16, params: map[string]string{"io_method": "worker"}, want: []string{
			"io_method: exists only from PostgreSQL 18 on, this is 16: remove it",
		}},
		"renamed": {major: 18, params: map[string]string{"ssl_ecdh_curve": "prime256v1", "wal_keep_segments": "8"}, want: []string{
			"ssl_ecdh_curve: was renamed in PostgreSQL 18: use ssl_groups",
			"wal_keep_segments: was renamed in PostgreSQL 13: use wal_keep_size",
		}},
		"wrong types": {major: 17, params: map[string]string{
			"autovacuum": "maybe", "work_mem": "lots", "max_connections": "10kB", "statement_timeout": "5 minutes",
			"random_page_cost": "high", "synchronous_commit": "sometimes", "shared_buffers": "1gb",
		}, want: []string{
			`autovacuum: "maybe" is not a boolean: use on or off`,
			`max_connections: "10kB" has a unit, but the parameter takes a plain number`,
			`random_page_cost: "high" is not a number`,
			`shared_buffers: "1gb" has an unknown unit: use B, kB, MB, GB, TB (case matters)`,
			`statement_timeout: "5 minutes" has an unknown unit: use us, ms, s, min, h, d (case matters)`,
			`synchronous_commit: "sometimes" is not one of its values: use local, remote_write, remote_apply, on, off`,
			`work_mem: "lots" is not a number: use one with a unit (B, kB, MB, GB, TB), or without for kB`,
		}},
		"out of range": {major: 17, params: map[string]string{
			"shared_buffers": "64kB", "max_connections": "1000000", "checkpoint_timeout": "10s", "autovacuum_naptime": "30d",
		}, want: []string{
			`autovacuum_naptime: "30d" is out of range: use 1s to 24.8d`,
			`checkpoint_timeout: "10s" is out of range: use 30s to 1d`,
			`max_connections: "1000000" is out of range: use 1 to 262143`,
			`shared_buffers: "64kB" is out of range: use 128kB to 7.9TB`,
		}},
		"less than we need": {major: 17, params: map[string]string{"wal_sender_timeout": "0s", "max_wal_senders": "1"}, want: []string{
			`max_wal_senders: "1" is too low: use 5 or more, since each standby needs one, and two while it is cloned`,
			`wal_sender_timeout: "0s" is too low: use 1ms or more, since without it a dead connection between instances would go unnoticed`,
		}},
		"fixed by the build": {major: 17, params: map[string]string{"block_size": "16384"}, want: []string{
			"block_size: is fixed when the server is built or its data directory is made: remove it",
		}},
		"one parameter twice": {major: 17, params: map[string]string{"work_mem": "4MB", "Work_Mem": "8MB"}, want: []string{
			"work_mem: is the same parameter as Work_Mem: remove one of them",
		}},
		"too many connections kept back": {major: 17, params: map[string]string{
			"max_connections": "20", "superuser_reserved_connections": "15", "reserved_connections": "5",
		}, want: []string{
			"max_connections: 20 connections, but superuser_reserved_connections and reserved_connections keep 20: raise it, or lower those",
		}},
		"too many processes": {major: 17, params: map[string]string{"max_connections": "262143"}, want: []string{
			"max_connections: 262143 connections, with autovacuum_max_workers, max_worker_processes and max_wal_senders, " +
				"are more processes than the 262143 of a server: lower it",
		}},
		"major unknown: what any takes": {params: map[string]string{
			"old_snapshot_threshold": "1h", "io_method": "worker", "wal_compression": "zstd", "log_connections": "receipt",
		}},
		"major unknown: what none takes": {params: map[string]string{"io_method": "magic"}, want: []string{
			`io_method: "magic" is not one of its values: use io_uring, sync, worker`,
		}},
		"a type that changed": {major: 14, params: map[string]string{"wal_compression": "zstd"}, want: []string{
			`wal_compression: "zstd" is not a boolean: use on or off`,
		}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, problem := range Validate(tc.major, tc.params) {
				got = append(got, problem.String())
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEveryReservedParameterIsRefused(t *testing.T) {
	// These are not in pg_settings: directives of the file, and parts of a session's identity.
	unlisted := "include include_dir include_if_exists is_superuser role seed session_authorization"
	for _, reserved := range ReservedParameters() {
		if _, ok := Lookup(0, reserved.Name); !ok && !strings.Contains(unlisted, reserved.Name) {
			t.Errorf("%s is reserved, but no major has it", reserved.Name)
		}
		if problems := Validate(0, map[string]string{reserved.Name: "caretaker-would-not"}); len(problems) != 1 {
			t.Errorf("%s: %v, want one problem", reserved.Name, problems)
		}
	}
}

func TestEveryFixedParameterIsReserved(t *testing.T) {
	reserved := reservedByName()
	for major := MinMajor; major <= MaxMajor; major++ {
		for _, settings := range []map[string]string{fixed(input(major)), fixedPaths(input(major).Paths)} {
			for name := range settings {
				if _, ok := reserved[name]; !ok {
					t.Errorf("%s is fixed, but not reserved: a user's value would be dropped in silence", name)
				}
			}
		}
	}
}

func TestParseQuantity(t *testing.T) {
	tests := []struct {
		text, base string
		want       float64
		err        error
	}{
		{text: "100", want: 100},
		{text: " 42 ", want: 42},
		{text: "-1", want: -1},
		{text: "0x1F", want: 31},
		{text: "017", want: 15},
		{text: "1e3", want: 1000},
		{text: ".5", want: 0.5},
		{text: "1GB", base: "kB", want: 1 << 20},
		{text: "1 GB", base: "8kB", want: 1 << 17},
		{text: "16", base: "8kB", want: 16},
		{text: "512B", base: "kB", want: 0.5},
		{text: "30.1GB", base: "kB", want: 30822 * 1024},
		{text: "1.5min", base: "s", want: 90},
		{text: "2h", base: "ms", want: 7200000},
		{text: "1500us", base: "ms", want: 1.5},
		{text: "1d", base: "min", want: 1440},
		{text: "10MB", base: "MB", want: 10},
		{text: "10", base: "s", want: 10},
		{text: "10kB", err: errNoUnit},
		{text: "10KB", base: "kB", err: errBadUnit},
		{text: "10 kB x", base: "kB", err: errBadUnit},
		{text: "1s", base: "kB", err: errBadUnit},
		{text: "", err: errNotNumber},
		{text: "kB", base: "kB", err: errNotNumber},
		{text: "0x", err: errNotNumber},
		{text: "1_000", err: errNoUnit},
		{text: "08", err: errNotNumber},
		{text: "NaN", err: errNotNumber},
		{text: "1e999", err: errNotNumber},
	}
	for _, tc := range tests {
		t.Run(tc.text+" "+tc.base, func(t *testing.T) {
			got, err := parseQuantity(tc.text, tc.base)
			if err != tc.err || err == nil && got != tc.want { //nolint:errorlint // the very error is meant
				t.Errorf("got %v, %v; want %v, %v", got, err, tc.want, tc.err)
			}
		})
	}
}

func TestParseBool(t *testing.T) {
	for text, want := range map[string]string{
		"on": "true", "ON": "true", "t": "true", "tru": "true", "y": "true", "1": "true",
		"off": "false", "of": "false", "f": "false", "n": "false", "No": "false", "0": "false",
		"o": "", "": "", "onn": "", "truee": "", "2": "", "10": "",
	} {
		value, ok := parseBool(text)
		got := ""
		if ok {
			got = map[bool]string{true: "true", false: "false"}[value]
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func FuzzValidateValue(f *testing.F) {
	for _, seed := range []string{"on", "1GB", "-1", "0x10", "1e5", "30.1 GB", "", "'", "\x00", "10 min"} {
		f.Add(seed)
	}
	names := []string{"work_mem", "autovacuum", "random_page_cost", "wal_compression", "checkpoint_timeout"}
	f.Fuzz(func(t *testing.T, value string) {
		for _, name := range names {
			for _, problem := range Validate(17, map[string]string{name: value}) {
				if problem.Message == "" || problem.Name != name {
					t.Errorf("%s=%q: %+v", name, value, problem)
				}
			}
		}
	})
}
