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
	}

	return h, nil
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
