package history_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caretaker-dev/caretaker/test/chaos/history"
)

func TestSaveAndLoad(t *testing.T) {
	t.Parallel()

	var recorder history.Recorder

	want := []history.Op{
		{Client: 1, Connection: 2, Kind: history.Append, Key: 3, Value: 1 << 40, Invoke: time.Millisecond, Complete: time.Second, Outcome: history.OK, Timeline: 5, System: "7", Server: "10.0.0.1 42 1"},
		{Kind: history.Read, Outcome: history.Unknown, Error: `it said "no"`},
	}
	for _, op := range want {
		recorder.Add(op)
	}

	path := filepath.Join(t.TempDir(), "folder", "history.jsonl")
	if err := history.Save(path, recorder.Ops()); err != nil {
		t.Fatal(err)
	}

	got, err := history.Load(path)
	if err != nil {
		t.Fatal(err)
	}

	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-saved +loaded):\n%s", diff)
	}
}

func TestLoadSaysWhere(t *testing.T) {
	t.Parallel()

	path := filepath.Join(t.TempDir(), "history.jsonl")
	if err := os.WriteFile(path, []byte("{\"client\":1}\n{\"client\":\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	if _, err := history.Load(path); err == nil {
		t.Error("a broken history was loaded")
	}
}
