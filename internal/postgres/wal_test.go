package postgres

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseLSN(t *testing.T) {
	tests := map[string]LSN{
		"0/0":               0,
		"16/B374D848":       0x16B374D848,
		"16/b374d848":       0x16B374D848,
		"0/0174FED8":        0x174FED8,
		"FFFFFFFF/FFFFFFFF": 0xFFFFFFFFFFFFFFFF,
	}
	for text, want := range tests {
		if got, err := ParseLSN(text); err != nil || got != want {
			t.Errorf("%s: got %X, %v; want %X", text, got, err, want)
		}
	}
	for _, text := range []string{"", "/", "1", "1/", "/1", "g/0", "1/2/3", "+1/2", "0x1/2", "123456789/0", " 1/2", "1_0/2"} {
		if got, err := ParseLSN(text); err == nil {
			t.Errorf("%q was read as %s", text, got)
		}
	}
}

func TestLSNArithmetic(t *testing.T) {
	a, b := LSN(0x16B374D848), LSN(0x16B374D800)
	if a.Diff(b) != 0x48 || b.Diff(a) != -0x48 || a.String() != "16/B374D848" {
		t.Errorf("got %d, %d, %s", a.Diff(b), b.Diff(a), a)
	}
	text, err := json.Marshal(struct{ L LSN }{a})
	if err != nil || string(text) != `{"L":"16/B374D848"}` {
		t.Errorf("JSON: %s, %v", text, err)
	}
	var back struct{ L LSN }
	if err := json.Unmarshal(text, &back); err != nil || back.L != a {
		t.Errorf("JSON back: %s, %v", back.L, err)
	}
	if err := json.Unmarshal([]byte(`{"L":"x"}`), &back); err == nil {
		t.Error("JSON with a broken LSN was read")
	}
}

func FuzzParseLSN(f *testing.F) {
	for _, seed := range []string{"16/B374D848", "0/0", "FFFFFFFF/FFFFFFFF", "1/", "x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		lsn, err := ParseLSN(text)
		if err != nil {
			return
		}
		if again, err := ParseLSN(lsn.String()); err != nil || again != lsn {
			t.Errorf("%q: %s became %s (%v)", text, lsn, again, err)
		}
	})
}

func TestWALNames(t *testing.T) {
	tests := []struct {
		segmentBytes int64
		lsn          string
		timeline     Timeline
		name, next   string
	}{
		// As pg_walfile_name gives them.
		{16 * mib, "16/B374D848", 1, "0000000100000016000000B3", "0000000100000016000000B4"},
		{16 * mib, "0/FF000000", 3, "0000000300000000000000FF", "000000030000000100000000"},
		{64 * mib, "0/47414D0", 1, "000000010000000000000001", "000000010000000000000002"},
		{64 * mib, "0/FC000000", 2, "00000002000000000000003F", "000000020000000100000000"},
		{mib, "1/00100000", 1, "000000010000000100000001", "000000010000000100000002"},
		{gib, "2/C0000000", 0xAB, "000000AB0000000200000003", "000000AB0000000300000000"},
	}
	for _, tc := range tests {
		lsn, err := ParseLSN(tc.lsn)
		if err != nil {
			t.Fatal(err)
		}
		segment := SegmentAt(tc.timeline, lsn, tc.segmentBytes)
		if got := segment.Name(tc.segmentBytes); got != tc.name {
			t.Errorf("%s at %d bytes: %s, want %s", tc.lsn, tc.segmentBytes, got, tc.name)
		}
		if got := segment.Next().Name(tc.segmentBytes); got != tc.next {
			t.Errorf("after %s: %s, want %s", tc.name, got, tc.next)
		}
		back, err := ParseWALName(tc.name, tc.segmentBytes)
		if err != nil || back != segment {
			t.Errorf("%s was read as %+v (%v), want %+v", tc.name, back, err, segment)
		}
		if start := back.Start(tc.segmentBytes); start > lsn || lsn.Diff(start) >= tc.segmentBytes {
			t.Errorf("%s starts at %s, but holds %s", tc.name, start, lsn)
		}
	}
}

func TestParseWALNameRefuses(t *testing.T) {
	tests := []struct {
		name         string
		segmentBytes int64
	}{
		{"0000000100000016000000b3", 16 * mib},
		{"0000000100000016000000B3.partial", 16 * mib},
		{"00000001000000160000010", 16 * mib},
		{"000000010000001600000100", 16 * mib},
		{"000000010000000000000040", 64 * mib},
		{"000000000000001600000001", 16 * mib},
		{"", 16 * mib},
		{"0000000100000016000000B3", 0},
		{"0000000100000016000000B3", 10 * mib},
	}
	for _, tc := range tests {
		if got, err := ParseWALName(tc.name, tc.segmentBytes); err == nil {
			t.Errorf("%q of %d bytes was read as %+v", tc.name, tc.segmentBytes, got)
		}
	}
}

func TestKindsOfArchivedFiles(t *testing.T) {
	tests := map[string]string{
		"0000000100000016000000B3":                 "segment",
		"0000000100000016000000B3.partial":         "partial",
		"0000000100000016000000B3.00000028.backup": "backup",
		"00000002.history":                         "history",
		"00000000.history":                         "",
		"0000000100000016000000B3.done":            "",
		"0000000100000016000000B3.28.backup":       "",
		"archive_status":                           "",
	}
	for name, want := range tests {
		got := ""
		for kind, is := range map[string]bool{
			"segment": IsWALName(name), "partial": IsPartialName(name), "backup": IsBackupLabelName(name), "history": IsHistoryName(name),
		} {
			if is {
				got += kind
			}
		}
		if got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

func FuzzParseWALName(f *testing.F) {
	f.Add("0000000100000016000000B3", uint8(4))
	f.Add("00000002000000000000003F", uint8(6))
	f.Fuzz(func(t *testing.T, name string, shift uint8) {
		segmentBytes := mib << (shift % 11)
		segment, err := ParseWALName(name, segmentBytes)
		if err != nil {
			return
		}
		if again := segment.Name(segmentBytes); again != name {
			t.Errorf("%s became %s", name, again)
		}
		if SegmentAt(segment.Timeline, segment.Start(segmentBytes), segmentBytes) != segment {
			t.Errorf("%s does not hold its own start", name)
		}
	})
}

const history = `1	0/4000000	no recovery target specified

# a comment
2	0/5000158	after LSN 0/5000000
`

func TestParseHistory(t *testing.T) {
	got, err := ParseHistory(3, history)
	if err != nil {
		t.Fatal(err)
	}
	want := History{Timeline: 3, Entries: []HistoryEntry{
		{Parent: 1, Switch: 0x4000000, Reason: "no recovery target specified"},
		{Parent: 2, Switch: 0x5000158, Reason: "after LSN 0/5000000"},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	contains := []struct {
		timeline Timeline
		lsn      LSN
		want     bool
	}{
		{1, 0x3FFFFFF, true},
		{1, 0x4000000, true},
		{1, 0x4000001, false},
		{2, 0x5000158, true},
		{2, 0x5000159, false},
		{3, 0x9000000, true},
		{4, 0x1, false},
	}
	for _, tc := range contains {
		if got.Contains(tc.timeline, tc.lsn) != tc.want {
			t.Errorf("timeline %d at %s in the history: want %v", tc.timeline, tc.lsn, tc.want)
		}
	}
	for lsn, timeline := range map[LSN]Timeline{0x3FFFFFF: 1, 0x4000000: 2, 0x5000157: 2, 0x5000158: 3} {
		if at := got.TimelineAt(lsn); at != timeline {
			t.Errorf("%s is on timeline %d, want %d", lsn, at, timeline)
		}
	}
}

// PostgreSQL names the timeline that it recovered along, also if it stopped before that began.
func TestParseHistoryOfARecoveryToBeforeItsTimeline(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		want []HistoryEntry
	}{
		"before the last": {"1\t0/5\ta\n2\t0/9\tb\n3\t0/7\tc\n", []HistoryEntry{{1, 0x5, "a"}, {2, 0x7, "c"}}},
		"before all":      {"1\t0/5\ta\n2\t0/9\tb\n3\t0/3\tc\n", []HistoryEntry{{1, 0x3, "c"}}},
		"and went on":     {"1\t0/5\ta\n2\t0/9\tb\n3\t0/7\tc\n4\t0/20\td\n", []HistoryEntry{{1, 0x5, "a"}, {2, 0x7, "c"}, {4, 0x20, "d"}}},
		"right at it":     {"1\t0/5\ta\n2\t0/9\tb\n3\t0/9\tc\n", []HistoryEntry{{1, 0x5, "a"}, {2, 0x9, "c"}}},
	} {
		got, err := ParseHistory(6, tc.text)
		if diff := cmp.Diff(History{Timeline: 6, Entries: tc.want}, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}

		text, err := StraightenHistory(6, tc.text)
		if err != nil || text != got.String() {
			t.Errorf("%s: made straight it is %q (%v)", name, text, err)
		}
	}

	if text, err := StraightenHistory(3, history); err != nil || text != history {
		t.Errorf("one that is straight becomes %q (%v)", text, err)
	}
}

func TestParseHistoryRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"no LSN":             "1\n",
		"a broken LSN":       "1\t0/x\tr\n",
		"a broken timeline":  "x\t0/1\tr\n",
		"timeline 0":         "0\t0/1\tr\n",
		"a younger parent":   "3\t0/1\tr\n",
		"falling timelines":  "2\t0/1\tr\n1\t0/2\tr\n",
		"the same timeline":  "1\t0/1\tr\n1\t0/2\tr\n",
		"not a history file": "<html>",
	} {
		if _, err := ParseHistory(3, text); err == nil || !strings.HasPrefix(err.Error(), "00000003.history, line ") {
			t.Errorf("%s: %v, want an error that names file and line", name, err)
		}
	}
}

func FuzzParseHistory(f *testing.F) {
	f.Add(uint32(3), history)
	f.Add(uint32(2), "1\t0/4000000\t\n")
	f.Fuzz(func(t *testing.T, timeline uint32, text string) {
		parsed, err := ParseHistory(Timeline(timeline), text)
		if err != nil {
			return
		}
		again, err := ParseHistory(Timeline(timeline), parsed.String())
		if err != nil {
			t.Fatalf("%q: %v", parsed.String(), err)
		}
		if diff := cmp.Diff(parsed, again); diff != "" {
			t.Error(diff)
		}
	})
}
