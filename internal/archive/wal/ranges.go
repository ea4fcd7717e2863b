package wal

import (
	"context"
	"errors"
	"os"
	"strings"

	"github.com/caretaker-dev/caretaker/internal/archive/layout"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

// Range is a run of archived segments without a gap, on one timeline.
type Range struct {
	Timeline postgres.Timeline `json:"timeline"`
	First    string            `json:"first"`
	Last     string            `json:"last"`
	Segments int               `json:"segments"`
	// StoredBytes in the store.
	StoredBytes int64 `json:"storedBytes"`
}

// Ranges lists all whole segments of the archive, in runs. Two runs of one timeline have a gap between them.
func (a *Archive) Ranges(ctx context.Context) ([]Range, error) {
	var (
		ranges       []Range
		last         postgres.WALSegment
		segmentBytes int64
	)

	for info, err := range a.store.List(ctx, layout.WALPrefix, "") {
		if err != nil {
			return nil, err
		}

		name := info.Key[strings.LastIndex(info.Key, "/")+1:]
		if !postgres.IsWALName(name) {
			continue
		}

		// The segments' size is in the first one's header.
		if segmentBytes == 0 {
			header, err := a.header(ctx, info.Key)
			if err != nil {
				return nil, err
			}

			segmentBytes = header.Bytes
		}

		segment, err := postgres.ParseWALName(name, segmentBytes)
		if err != nil {
			return nil, err
		}

		if len(ranges) == 0 || segment != last.Next() {
			ranges = append(ranges, Range{Timeline: segment.Timeline, First: name})
		}

		current := &ranges[len(ranges)-1]
		current.Last = name
		current.Segments++
		current.StoredBytes += info.Size
		last = segment
	}

	return ranges, nil
}

// FetchFile fetches a file to dest, whole or not at all.
func (a *Archive) FetchFile(ctx context.Context, name, dest string) error {
	f := &fetcher{sources: []*Archive{a}}
	f.config.SpoolDir = dest + ".caretaker-spool"

	if err := f.prepare(); err != nil {
		return err
	}

	err := f.download(ctx, name)
	if err == nil {
		err = moveInto(f.spooled(name), dest)
	}

	return errors.Join(err, os.RemoveAll(f.config.SpoolDir))
}
