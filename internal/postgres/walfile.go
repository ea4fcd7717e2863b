package postgres

import (
	"fmt"
	"strings"
)

// Timeline is a timeline ID; each promotion begins a new one. 0 is none.
type Timeline uint32

// WALSegment is one WAL file.
type WALSegment struct {
	Timeline Timeline
	// Number counts segments of this size from the start of the WAL.
	Number uint64
}

const (
	walNameDigits = 24
	minWALSegment = mib
	maxWALSegment = gib
)

// CheckWALSegmentBytes says whether a segment size is one that initdb takes: a power of two from
// 1 MiB to 1 GiB.
func CheckWALSegmentBytes(bytes int64) error {
	if bytes < minWALSegment || bytes > maxWALSegment || bytes&(bytes-1) != 0 {
		return fmt.Errorf("WAL segment size %d is not a power of two from 1 MiB to 1 GiB", bytes)
	}
	return nil
}

// SegmentAt is the segment that holds the byte at the LSN.
func SegmentAt(timeline Timeline, lsn LSN, segmentBytes int64) WALSegment {
	return WALSegment{Timeline: timeline, Number: uint64(lsn) / uint64(segmentBytes)} //nolint:gosec // a size is positive
}

// ParseWALName reads a segment's file name, "000000010000001600000053", for that segment size.
func ParseWALName(name string, segmentBytes int64) (WALSegment, error) {
	if err := CheckWALSegmentBytes(segmentBytes); err != nil {
		return WALSegment{}, err
	}
	perLog := segmentsPerLog(segmentBytes)
	if !IsWALName(name) {
		return WALSegment{}, fmt.Errorf("%q is not the name of a WAL segment: want 24 hexadecimal digits in upper case", name)
	}
	timeline, _ := parseHex32(name[:8])
	log, _ := parseHex32(name[8:16])
	segment, _ := parseHex32(name[16:])
	if timeline == 0 || uint64(segment) >= perLog {
		return WALSegment{}, fmt.Errorf("%q is no WAL segment of %d bytes", name, segmentBytes)
	}
	return WALSegment{Timeline: Timeline(timeline), Number: uint64(log)*perLog + uint64(segment)}, nil
}

// segmentsPerLog is how many segments share the middle eight digits of a name.
func segmentsPerLog(segmentBytes int64) uint64 {
	return (1 << 32) / uint64(segmentBytes) //nolint:gosec // a size is positive
}

// Name is the segment's file name for that segment size.
func (s WALSegment) Name(segmentBytes int64) string {
	perLog := segmentsPerLog(segmentBytes)
	return fmt.Sprintf("%08X%08X%08X", uint32(s.Timeline), s.Number/perLog, s.Number%perLog)
}

// Start is the LSN of the segment's first byte.
func (s WALSegment) Start(segmentBytes int64) LSN {
	return LSN(s.Number * uint64(segmentBytes)) //nolint:gosec // a size is positive
}

// Next is the segment after this one, on the same timeline.
func (s WALSegment) Next() WALSegment {
	return WALSegment{Timeline: s.Timeline, Number: s.Number + 1}
}

// IsWALName says whether a file of pg_wal or an archive is a whole segment by its name.
func IsWALName(name string) bool {
	return len(name) == walNameDigits && isUpperHex(name)
}

// IsPartialName says whether it is a segment that a promotion left unfinished.
func IsPartialName(name string) bool {
	segment, ok := strings.CutSuffix(name, ".partial")
	return ok && IsWALName(segment)
}

// IsBackupLabelName says whether it is a backup's marker, "<segment>.<offset>.backup".
func IsBackupLabelName(name string) bool {
	parts := strings.Split(name, ".")
	return len(parts) == 3 && IsWALName(parts[0]) && len(parts[1]) == 8 && isUpperHex(parts[1]) && parts[2] == "backup"
}

// IsHistoryName says whether it is a timeline's history.
func IsHistoryName(name string) bool {
	_, err := ParseHistoryName(name)
	return err == nil
}

func isUpperHex(text string) bool {
	return text != "" && strings.Trim(text, "0123456789ABCDEF") == ""
}
