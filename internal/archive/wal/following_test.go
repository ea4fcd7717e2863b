package wal

import (
	"testing"

	"github.com/caretaker-dev/caretaker/internal/postgres"
)

// What is prefetched is what recovery will ask for: the next numbers, none left out, never back to an older timeline, on the
// timeline that holds a segment's last byte, over the end of each log of 4 GiB and over each change of timeline.
func FuzzFollowing(f *testing.F) {
	const mib = 1 << 20

	f.Add(uint64(0xFE), uint8(4), uint64(0x1_0280_0000), uint64(0x1_0700_0000))
	f.Add(uint64(0x3E), uint8(6), uint64(0xFC00_0000), uint64(0x1_0000_0000))
	f.Add(uint64(0), uint8(0), uint64(1), uint64(1))
	f.Add(uint64(0xFFF), uint8(10), uint64(1)<<40, uint64(1)<<41)

	f.Fuzz(func(t *testing.T, number uint64, size uint8, first, second uint64) {
		segmentBytes := int64(mib) << (size % 11) // 1 MiB to 1 GiB
		number %= 1 << 33

		history := postgres.History{Timeline: 3, Entries: []postgres.HistoryEntry{
			{Parent: 1, Switch: postgres.LSN(min(first, second))}, {Parent: 2, Switch: postgres.LSN(max(first, second))},
		}}
		from := postgres.WALSegment{Number: number}
		from.Timeline = history.TimelineAt(from.Next().Start(segmentBytes) - 1)

		before := from

		for _, name := range following(history, from, segmentBytes, 40) {
			segment, err := postgres.ParseWALName(name, segmentBytes)
			if err != nil {
				t.Fatalf("after %s comes %q: %v", from.Name(segmentBytes), name, err)
			}

			if segment.Number != before.Number+1 || segment.Timeline < before.Timeline {
				t.Fatalf("after %s comes %s", before.Name(segmentBytes), name)
			}

			if want := history.TimelineAt(segment.Next().Start(segmentBytes) - 1); segment.Timeline != want {
				t.Fatalf("%s is asked for on timeline %d, and its last byte is of %d", name, segment.Timeline, want)
			}

			before = segment
		}
	})
}
