package wal

import "testing"

// TestHistoryIsArchivedStraight: the archiver may come before PID 1, and what is archived never changes.
func TestHistoryIsArchivedStraight(t *testing.T) {
	for content, want := range map[string]string{
		"1\t0/9\tfailover\n2\t0/7\tfailover\n": "1\t0/7\tfailover\n",
		"1\t0/5\tfailover\n2\t0/7\tfailover\n": "1\t0/5\tfailover\n2\t0/7\tfailover\n",
		"":                                     "",
	} {
		file := File{Name: "00000003.history", Content: []byte(content)}
		if err := file.fit(""); err != nil || string(file.Content) != want {
			t.Errorf("%q is archived as %q (%v), want %q", content, file.Content, err, want)
		}
	}
}
