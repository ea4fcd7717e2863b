package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/caretaker-dev/caretaker/internal/postgres"
)

// pageHeader is what a segment's first page says of it.
type pageHeader struct {
	systemIdentifier uint64
	address          postgres.LSN
	segmentBytes     int64
	pageBytes        int
}

// errNotWAL says that a file is no segment.
var errNotWAL = errors.New("it does not begin with the page header of a WAL segment")

// Offsets in XLogLongPageHeaderData (src/include/access/xlog_internal.h), the same in PostgreSQL 9.3 to 19, in the byte
// order of the machine: little-endian on all that we run on.
const (
	offsetInfo         = 2
	offsetPageAddress  = 8
	offsetSystemID     = 24
	offsetSegmentBytes = 32
	offsetPageBytes    = 36
	longHeaderBytes    = 40
	flagLongHeader     = 0x0002
)

func parsePageHeader(content []byte) (pageHeader, error) {
	if len(content) < longHeaderBytes || binary.LittleEndian.Uint16(content[offsetInfo:])&flagLongHeader == 0 {
		return pageHeader{}, errNotWAL
	}

	h := pageHeader{
		address:          postgres.LSN(binary.LittleEndian.Uint64(content[offsetPageAddress:])),
		systemIdentifier: binary.LittleEndian.Uint64(content[offsetSystemID:]),
		segmentBytes:     int64(binary.LittleEndian.Uint32(content[offsetSegmentBytes:])),
		pageBytes:        int(binary.LittleEndian.Uint32(content[offsetPageBytes:])),
	}

	return h, nil
}

// clearTail makes zeros of the pages at a segment's end that are not of it. Behind a switch to the next segment the primary has zeros. A standby
// whose primary died right then never received them, and has what the file had before it was recycled; its promotion begins the next
// timeline at the segment's end. Both are the same segment.
func (h pageHeader) clearTail(content []byte) {
	if h.pageBytes <= longHeaderBytes {
		return
	}

	for start := len(content) - h.pageBytes; start > 0; start -= h.pageBytes {
		page := content[start : start+h.pageBytes]
		if binary.LittleEndian.Uint64(page[offsetPageAddress:]) == uint64(h.address)+uint64(start) {
			return
		}

		clear(page)
	}
}

// checkSegment says whether content is the segment that name says: a recycled or truncated file is not.
func checkSegment(name string, content []byte) (pageHeader, error) {
	header, err := parsePageHeader(content)
	if err != nil {
		return header, fmt.Errorf("%s: %w", name, err)
	}

	segment, err := postgres.ParseWALName(name[:24], header.segmentBytes)
	if err != nil {
		return header, fmt.Errorf("%s: %w", name, err)
	}

	switch {
	case int64(len(content)) != header.segmentBytes:
		return header, fmt.Errorf("%s has %d bytes, but the cluster's segments have %d", name, len(content), header.segmentBytes)
	case header.address != segment.Start(header.segmentBytes):
		return header, fmt.Errorf("%s holds the WAL from %s on, not from %s", name, header.address, segment.Start(header.segmentBytes))
	}

	return header, nil
}

// IsSegment says whether a file of pg_wal holds the WAL that its name says, and is not one that was made ahead.
func IsSegment(path string) bool {
	content, err := readFile(path, nil)
	if err != nil {
		return false
	}

	_, err = checkSegment(filepath.Base(path), content)

	return err == nil
}
