package postgres

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestChangeKind(t *testing.T) {
	tests := []struct {
		major int
		name  string
		want  Change
	}{
		{17, "work_mem", ChangeReload},
		{17, "WORK_MEM", ChangeReload},
		{17, "log_min_duration_statement", ChangeReload},
		{17, "max_connections", ChangeRestart},
		{17, "autovacuum_max_workers", ChangeRestart},
		{18, "autovacuum_max_workers", ChangeReload},
		{0, "autovacuum_max_workers", ChangeRestart},
		{17, "pg_stat_statements.max", ChangeUnknown},
		{17, "block_size", ChangeUnknown},
		{14, "io_method", ChangeUnknown},
	}
	for _, tc := range tests {
		if got := ChangeKind(tc.major, tc.name); got != tc.want {
			t.Errorf("%s on %d: got %s, want %s", tc.name, tc.major, got, tc.want)
		}
	}
}

func TestRestartOrder(t *testing.T) {
	tests := map[string]struct {
		before, after map[string]string
		want          []RestartStep
		reason        string
	}{
		"nothing sensitive": {
			after: map[string]string{"shared_buffers": "1GB"},
			want:  []RestartStep{{Order: OrderAny}},
		},
		"the default spelt out": {
			after: map[string]string{"max_connections": "100"},
			want:  []RestartStep{{Order: OrderAny}},
		},
		"grows": {
			after: map[string]string{"max_connections": "200", "max_worker_processes": "16"},
			want:  []RestartStep{{Order: OrderStandbysFirst}},
			reason: "increase of max_connections, max_worker_processes: standbys first; " +
				"a standby must never have less than its primary",
		},
		"shrinks to the default": {
			before: map[string]string{"max_connections": "200"},
			want:   []RestartStep{{Order: OrderPrimaryFirst}},
			reason: "decrease of max_connections: primary first; a standby must never have less than its primary",
		},
		"both at once takes two rounds": {
			before: map[string]string{"max_connections": "200", "max_wal_senders": "10"},
			after:  map[string]string{"max_connections": "100", "max_wal_senders": "20"},
			want: []RestartStep{
				{Order: OrderStandbysFirst, Settings: map[string]string{"max_connections": "200"}},
				{Order: OrderPrimaryFirst},
			},
			reason: "increase of max_wal_senders, decrease of max_connections: a standby must never have less than its primary; " +
				"so first the increase, standbys first, then the decrease, primary first",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := RestartOrder(17, tc.before, tc.after)
			if diff := cmp.Diff(RestartPlan{Steps: tc.want, Reason: tc.reason}, got); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

func TestStandbyFloor(t *testing.T) {
	primary := map[string]string{
		"max_connections": "200", "max_worker_processes": "8", "max_wal_senders": "10",
		"max_prepared_transactions": "0", "max_locks_per_transaction": "64",
	}
	tests := map[string]struct {
		configured, want map[string]string
	}{
		"equal":                       {configured: map[string]string{"max_connections": "200"}, want: map[string]string{}},
		"more is kept":                {configured: map[string]string{"max_connections": "300"}, want: map[string]string{}},
		"less is raised":              {configured: map[string]string{"max_connections": "50"}, want: map[string]string{"max_connections": "200"}},
		"PostgreSQL's default counts": {configured: map[string]string{}, want: map[string]string{"max_connections": "200"}},
		"several":                     {configured: map[string]string{"max_connections": "50", "max_wal_senders": "5"}, want: map[string]string{"max_connections": "200", "max_wal_senders": "10"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, StandbyFloor(17, tc.configured, primary)); diff != "" {
				t.Errorf("floor (-want +got):\n%s", diff)
			}
		})
	}
}
