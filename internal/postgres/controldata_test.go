package postgres

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func readControlData(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestParseControlData(t *testing.T) {
	got, err := ParseControlData(readControlData(t, "controldata-15.txt"))
	if err != nil {
		t.Fatal(err)
	}
	want := ControlData{
		SystemIdentifier: 7710325554649832429,
		State:            "shut down",
		Checkpoint:       0x47414D0,
		Redo:             0x47414D0,
		Timeline:         1,
		PrevTimeline:     1,
		WALSegmentBytes:  64 * mib,
		DataChecksums:    true,
		WALLevel:         "replica",
		ControlVersion:   1300,
		CatalogVersion:   202209061,
		Settings: map[string]string{
			"max_connections": "100", "max_worker_processes": "8", "max_wal_senders": "10",
			"max_prepared_transactions": "0", "max_locks_per_transaction": "64",
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("control data (-want +got):\n%s", diff)
	}
	if !got.IsCleanShutdown() || !got.WasPrimary() {
		t.Error("a primary that was shut down is not seen as one")
	}
}

func TestParseControlDataOf19(t *testing.T) {
	got, err := ParseControlData(readControlData(t, "controldata-19.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if got.Checkpoint != 0x174FED8 || got.Settings["max_locks_per_transaction"] != "128" || !got.DataChecksums {
		t.Errorf("got %+v", got)
	}
}

func TestControlDataStates(t *testing.T) {
	tests := map[string]struct{ clean, primary bool }{
		"shut down":             {clean: true, primary: true},
		"in production":         {primary: true},
		"in crash recovery":     {primary: true},
		"shutting down":         {primary: true},
		"shut down in recovery": {clean: true},
		"in archive recovery":   {},
		"starting up":           {},
	}
	for state, want := range tests {
		c := ControlData{State: state}
		if c.IsCleanShutdown() != want.clean || c.WasPrimary() != want.primary {
			t.Errorf("%s: clean %v, primary %v; want %+v", state, c.IsCleanShutdown(), c.WasPrimary(), want)
		}
	}
}

func TestParseControlDataRefuses(t *testing.T) {
	whole := readControlData(t, "controldata-15.txt")
	tests := map[string]struct{ text, want string }{
		"nothing":          {text: "", want: `no line "Database system identifier"`},
		"another language": {text: strings.ReplaceAll(whole, "Database cluster state", "Datenbank-Cluster-Status"), want: `no line "Database cluster state"`},
		"a broken number":  {text: strings.Replace(whole, "7710325554649832429", "77x", 1), want: `Database system identifier: "77x" is not a number`},
		"a broken LSN":     {text: strings.Replace(whole, "0/47414D0", "0-47414D0", 1), want: `Latest checkpoint location: "0-47414D0" is not an LSN`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := ParseControlData(tc.text)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func FuzzParseControlData(f *testing.F) {
	for _, name := range []string{"controldata-15.txt", "controldata-19.txt"} {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := ParseControlData(text); err != nil && c.SystemIdentifier != 0 {
			t.Errorf("an error came with values: %+v, %v", c, err)
		}
	})
}
