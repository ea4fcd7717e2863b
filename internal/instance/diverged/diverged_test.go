package diverged_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caretaker-dev/caretaker/internal/instance/diverged"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

const segmentBytes = 1 << 20

// walDir has segments of timelines 1 and 2, each with its name for content.
func walDir(t *testing.T, names ...string) string {
	t.Helper()

	dir := t.TempDir()
	for _, name := range names {
		content := make([]byte, segmentBytes)
		copy(content, name)

		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}

	return dir
}

func divergence(dir string, fork, end postgres.LSN, at time.Time) diverged.Divergence {
	return diverged.Divergence{
		Instance: "demo-0", Member: "m", Primary: "demo-1", Timelines: []postgres.Timeline{1, 2}, Onto: 3,
		Fork: fork, End: end, WALDir: dir, SegmentBytes: segmentBytes, At: at,
	}
}

func TestKeep(t *testing.T) {
	dir := walDir(t, "000000010000000000000002", "000000010000000000000003", "000000020000000000000003",
		"000000020000000000000004", "000000020000000000000005", "00000002.history")
	state := t.TempDir()
	fork, end := postgres.LSN(3*segmentBytes+100), postgres.LSN(4*segmentBytes+200)

	got, err := diverged.Keep(state, divergence(dir, fork, end, time.Now()))
	if err != nil {
		t.Fatal(err)
	}

	want := []string{"000000010000000000000003", "000000020000000000000003", "000000020000000000000004"}
	if diff := cmp.Diff(want, got.Segments); diff != "" || got.Missing != "" || got.Bytes != segmentBytes+100 || got.Timeline != 2 {
		t.Errorf("kept %+v, want the segments from the fork to the end: %s", got, diff)
	}

	// PostgreSQL writes over the segments afterwards.
	if err := os.WriteFile(filepath.Join(dir, want[0]), []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}

	for _, name := range append(want, "00000002.history") {
		content, err := os.ReadFile(filepath.Join(got.Path, name))
		if err != nil || !strings.HasPrefix(string(content), name) {
			t.Errorf("%s is not what it was: %v", name, err)
		}
	}

	again, err := diverged.Keep(state, divergence(dir, fork, end, time.Now().Add(time.Hour)))
	if diff := cmp.Diff(got, again); err != nil || diff != "" {
		t.Errorf("the same divergence again: %v %s", err, diff)
	}
}

func TestKeepIsBounded(t *testing.T) {
	dir := walDir(t, "000000010000000000000003")
	state := t.TempDir()
	start := time.Now()

	var newest []string

	for i := range diverged.MaxKept + 2 {
		fork := postgres.LSN(3*segmentBytes + i)

		m, err := diverged.Keep(state, divergence(dir, fork, 3*segmentBytes+500, start.Add(time.Duration(i)*time.Hour)))
		if err != nil {
			t.Fatal(err)
		}

		newest = append(newest, m.Path)
	}

	kept, err := diverged.List(state)
	if err != nil {
		t.Fatal(err)
	}

	var paths []string
	for _, m := range kept {
		paths = append(paths, m.Path)
	}

	if want := newest[2:]; !slices.Equal(paths, want) {
		t.Errorf("kept %v, want the newest: %v", paths, want)
	}
}

func TestKeepSaysWhatIsMissing(t *testing.T) {
	dir := walDir(t, "000000010000000000000003")

	m, err := diverged.Keep(t.TempDir(), divergence(dir, 3*segmentBytes, 5*segmentBytes, time.Now()))
	if err != nil || len(m.Segments) != 1 || !strings.Contains(m.Missing, "000000010000000000000004") {
		t.Errorf("kept %+v, %v; want what is there, and a word on what is not", m, err)
	}
}
