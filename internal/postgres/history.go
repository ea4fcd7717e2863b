package postgres

import (
	"fmt"
	"strconv"
	"strings"
)

// HistoryName is the file name of a timeline's history, "00000002.history".
func HistoryName(timeline Timeline) string {
	return fmt.Sprintf("%08X.history", uint32(timeline))
}

// ParseHistoryName reads what HistoryName wrote.
func ParseHistoryName(name string) (Timeline, error) {
	digits, ok := strings.CutSuffix(name, ".history")
	if ok && len(digits) == 8 && isUpperHex(digits) {
		if n, err := parseHex32(digits); err == nil && n > 0 {
			return Timeline(n), nil
		}
	}
	return 0, fmt.Errorf("%q is not the name of a timeline's history: want one like 00000002.history", name)
}

// HistoryEntry says that the history's timeline left an older one at an LSN.
type HistoryEntry struct {
	Parent Timeline
	// Switch is the first byte that is not the parent's.
	Switch LSN
	// Reason is the free text of the line.
	Reason string
}

// History is the way from the first timeline to Timeline, oldest entry first. Timeline 1 has none.
type History struct {
	Timeline Timeline
	Entries  []HistoryEntry
}

// ParseHistory reads a .history file of that timeline: lines of parent, switch LSN and reason;
// empty lines and those with # are skipped. Parents must grow.
//
// LSNs grow, too, but where a server was promoted that aimed at a timeline which it had not come to be on: it recovered to a moment before that
// one began, or had its history and not yet its log. PostgreSQL names it as the parent all the same. What the server has not been on is left out:
// 1 to 5, 2 to 9 and 3 to 7 is 1 to 5 and 2 to 7.
func ParseHistory(timeline Timeline, text string) (History, error) {
	h, _, err := parseHistory(timeline, text)
	return h, err
}

// StraightenHistory is the text of a .history file without what the server has not been on: see ParseHistory. PostgreSQL itself takes the file
// at its word, when it sends an older timeline and in pg_rewind.
func StraightenHistory(timeline Timeline, text string) (string, error) {
	h, isStraight, err := parseHistory(timeline, text)
	if err != nil || isStraight {
		return text, err
	}
	return h.String(), nil
}

func parseHistory(timeline Timeline, text string) (h History, isStraight bool, err error) {
	h, isStraight = History{Timeline: timeline}, true
	line := 0
	for raw := range strings.Lines(text) {
		line++
		content := strings.TrimSpace(raw)
		if content == "" || strings.HasPrefix(content, "#") {
			continue
		}
		entry, err := parseHistoryLine(content)
		if err == nil {
			err = h.check(entry)
		}
		if err != nil {
			return History{}, false, fmt.Errorf("%s, line %d: %w", HistoryName(timeline), line, err)
		}
		for n := len(h.Entries); n > 0 && h.Entries[n-1].Switch >= entry.Switch; n-- {
			entry.Parent, isStraight = h.Entries[n-1].Parent, false
			h.Entries = h.Entries[:n-1]
		}
		h.Entries = append(h.Entries, entry)
	}
	return h, isStraight, nil
}

func parseHistoryLine(line string) (HistoryEntry, error) {
	fields := strings.Fields(line)
	if len(fields) < 2 {
		return HistoryEntry{}, fmt.Errorf("%q: want timeline, LSN and reason", line)
	}
	parent, err := strconv.ParseUint(fields[0], 10, 32)
	if err != nil || parent == 0 {
		return HistoryEntry{}, fmt.Errorf("%q is not a timeline ID", fields[0])
	}
	lsn, err := ParseLSN(fields[1])
	if err != nil {
		return HistoryEntry{}, err
	}
	return HistoryEntry{Parent: Timeline(parent), Switch: lsn, Reason: strings.Join(fields[2:], " ")}, nil
}

// check holds PostgreSQL's own rule: each parent is newer than the one before it, and older
// than the history's timeline.
func (h History) check(entry HistoryEntry) error {
	if entry.Parent >= h.Timeline {
		return fmt.Errorf("timeline %d is not older than %d", entry.Parent, h.Timeline)
	}
	if n := len(h.Entries); n > 0 && entry.Parent <= h.Entries[n-1].Parent {
		return fmt.Errorf("timeline %d does not follow timeline %d", entry.Parent, h.Entries[n-1].Parent)
	}
	return nil
}

// Contains says whether the WAL of timeline up to lsn is part of this history: whether a
// server at that position can follow it without pg_rewind.
func (h History) Contains(timeline Timeline, lsn LSN) bool {
	if timeline == h.Timeline {
		return true
	}
	for _, entry := range h.Entries {
		if entry.Parent == timeline {
			return lsn <= entry.Switch
		}
	}
	return false
}

// TimelineAt is the timeline whose WAL holds the byte at lsn.
func (h History) TimelineAt(lsn LSN) Timeline {
	for _, entry := range h.Entries {
		if lsn < entry.Switch {
			return entry.Parent
		}
	}
	return h.Timeline
}

// TimelineOf is the timeline under whose name a segment's place is whole: that of its last byte.
func (h History) TimelineOf(segment WALSegment, segmentBytes int64) Timeline {
	return h.TimelineAt(segment.Next().Start(segmentBytes) - 1)
}

// String is the text of the .history file.
func (h History) String() string {
	var out strings.Builder
	for _, entry := range h.Entries {
		fmt.Fprintf(&out, "%d\t%s\t%s\n", entry.Parent, entry.Switch, entry.Reason)
	}
	return out.String()
}
