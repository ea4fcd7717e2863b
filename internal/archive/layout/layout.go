package layout

import (
	"fmt"
	"strings"

	"github.com/caretaker-dev/caretaker/internal/postgres"
)

const (
	// Identity is the key of whose archive this is, put if absent by the first who writes.
	Identity = "identity.json"
	// WALPrefix is above all WAL.
	WALPrefix = "wal/"
	// HistoryPrefix is above all timelines' histories.
	HistoryPrefix = "history/"
	// BackupsPrefix is above all base backups.
	BackupsPrefix = "backups/"
	// TermsPrefix is above the markers of terms.
	TermsPrefix = "terms/"
)

// maxServerName is what Kubernetes allows for a name, and more than enough.
const maxServerName = 253

// CheckServer says what is wrong with a server's name, the first part of its keys.
func CheckServer(name string) error {
	isBad := func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.", r)
	}
	if name == "" || len(name) > maxServerName || strings.HasPrefix(name, ".") || strings.ContainsFunc(name, isBad) {
		return fmt.Errorf("server name %q: want letters, digits, '-', '_' and '.', at most %d, not beginning with '.'", name, maxServerName)
	}

	return nil
}

// WAL is the key, under the server's name, of a file that PostgreSQL archives: a segment, a partial segment, a backup's marker
// or a timeline's history.
func WAL(name string) (string, error) {
	switch {
	case postgres.IsHistoryName(name):
		return HistoryPrefix + name, nil
	case postgres.IsWALName(name), postgres.IsPartialName(name), postgres.IsBackupLabelName(name):
		return WALLog(name) + name, nil
	default:
		return "", fmt.Errorf("%q is not the name of a WAL segment, a timeline's history or a backup's marker", name)
	}
}

// WALTimeline is the prefix of all WAL of a timeline.
func WALTimeline(timeline postgres.Timeline) string {
	return fmt.Sprintf("%s%08X/", WALPrefix, uint32(timeline))
}

// WALLog is the prefix of the segments that share the timeline and the middle eight digits with the named one: 4 GiB.
func WALLog(segment string) string {
	return WALPrefix + segment[:8] + "/" + segment[8:16] + "/"
}

// History is the key of a timeline's history.
func History(timeline postgres.Timeline) string {
	return HistoryPrefix + postgres.HistoryName(timeline)
}

// WALName is the file name that a key of WAL or a history stands for; ok is false for other keys.
func WALName(key string) (name string, ok bool) {
	name = key[strings.LastIndex(key, "/")+1:]
	want, err := WAL(name)

	return name, err == nil && want == key
}
