package serverlog

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestEntries(t *testing.T) {
	jsonRecord := `{"timestamp":"2026-11-20 18:30:16.123 UTC","user":"app","dbname":"shop","pid":42,"remote_host":"10.0.0.9",` +
		`"session_id":"x","line_num":1,"error_severity":"ERROR","state_code":"42P01","message":"relation \"t\" does not exist",` +
		`"statement":"SELECT\n1","application_name":"web","backend_type":"client backend","query_id":7}`
	csvRecord := `2026-11-20 18:30:16.123 UTC,"app","shop",42,"10.0.0.9",x,1,"SELECT",2026-11-20 18:30:00 UTC,3/4,0,ERROR,42P01,` +
		`"relation ""t"" does not exist",,,,,,"SELECT` + "\n" + `1",8,,"web","client backend",,7`
	want := Entry{
		Timestamp: "2026-11-20 18:30:16.123 UTC", User: "app", Database: "shop", PID: 42, RemoteHost: "10.0.0.9",
		Severity: "ERROR", SQLState: "42P01", Message: `relation "t" does not exist`, Statement: "SELECT\n1",
		Application: "web", BackendType: "client backend", QueryID: 7,
	}

	fromJSON, err := parseJSON(jsonRecord)
	if err != nil {
		t.Fatal(err)
	}

	fromCSV, err := parseCSV(csvRecord)
	if err != nil {
		t.Fatal(err)
	}

	if diff := cmp.Diff(want, fromJSON) + cmp.Diff(want, fromCSV); diff != "" {
		t.Error(diff)
	}

	if at, ok := fromJSON.Time(); !ok || !at.Equal(time.Date(2026, 11, 20, 18, 30, 16, 123e6, time.UTC)) {
		t.Errorf("time %v, %v", at, ok)
	}

	if _, ok := (Entry{Timestamp: "2026-11-20 18:30:16.123 CET"}).Time(); ok {
		t.Error("a time zone's abbreviation was taken for a time")
	}
}

func TestLevels(t *testing.T) {
	for severity, want := range map[string]slog.Level{
		"DEBUG5": slog.LevelDebug, "LOG": slog.LevelInfo, "INFO": slog.LevelInfo, "NOTICE": slog.LevelInfo,
		"WARNING": slog.LevelWarn, "ERROR": slog.LevelError, "FATAL": slog.LevelError, "PANIC": slog.LevelError,
	} {
		if got := (Entry{Severity: severity}).Level(); got != want {
			t.Errorf("%s is %s, want %s", severity, got, want)
		}
	}
}

// writer appends to a log file as the collector does, and opens it anew when asked.
type writer struct {
	t    *testing.T
	path string
	file *os.File
}

func (w *writer) open() error {
	if w.file != nil {
		if err := w.file.Close(); err != nil {
			return err
		}
	}

	var err error
	w.file, err = os.OpenFile(w.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)

	return err
}

func (w *writer) write(text string) {
	w.t.Helper()

	if _, err := w.file.WriteString(text); err != nil {
		w.t.Fatal(err)
	}
}

func TestFollow(t *testing.T) {
	w := &writer{t: t, path: filepath.Join(t.TempDir(), "log")}
	f := &follower{path: w.path, rotate: w.open}

	var got []string

	poll := func() {
		t.Helper()

		if err := f.poll(func(record string) { got = append(got, record) }); err != nil {
			t.Fatal(err)
		}
	}

	poll() // There is no file yet.

	if err := w.open(); err != nil {
		t.Fatal(err)
	}

	w.write("one\ntw")
	poll()
	w.write("o\nthree\n")
	poll()

	if diff := cmp.Diff([]string{"one", "two", "three"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestFollowExchangesTheFileWithoutLoss(t *testing.T) {
	w := &writer{t: t, path: filepath.Join(t.TempDir(), "log")}
	slow := false
	f := &follower{path: w.path, rotate: func() error {
		if slow {
			return nil
		}

		return w.open()
	}}

	if err := w.open(); err != nil {
		t.Fatal(err)
	}

	line := strings.Repeat("x", 1<<16)
	wrote, read := 0, 0
	round := func() {
		t.Helper()

		for range 10 {
			w.write(line + "\n")
			wrote++
		}

		if err := f.poll(func(string) { read++ }); err != nil {
			t.Fatal(err)
		}
	}

	// The collector is slow to open its file anew: what it still writes to the old one is read too.
	slow = true
	for range 10 {
		round()
	}

	slow = false
	for range 40 {
		round()
	}

	for range 4 {
		if err := f.poll(func(string) { read++ }); err != nil {
			t.Fatal(err)
		}
	}

	if read != wrote {
		t.Errorf("read %d records of %d", read, wrote)
	}

	entries, err := os.ReadDir(filepath.Dir(w.path))
	if err != nil {
		t.Fatal(err)
	}

	var size int64

	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			t.Fatal(err)
		}

		size += info.Size()
	}

	if size > 3*rotateBytes {
		t.Errorf("%d bytes of %d are kept", size, wrote*len(line))
	}
}

func TestFollowCSVRecordsOverLines(t *testing.T) {
	w := &writer{t: t, path: filepath.Join(t.TempDir(), "log.csv")}
	f := &follower{path: w.path, rotate: w.open, isComplete: hasEvenQuotes}

	if err := w.open(); err != nil {
		t.Fatal(err)
	}

	w.write("a,\"b\nc\"\"d\",e\nf\n")

	var got []string
	if err := f.poll(func(record string) { got = append(got, record) }); err != nil {
		t.Fatal(err)
	}

	if diff := cmp.Diff([]string{"a,\"b\nc\"\"d\",e", "f"}, got); diff != "" {
		t.Error(diff)
	}
}
