package basebackup

import (
	"fmt"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/caretaker-dev/caretaker/internal/archive/compress"
	"github.com/caretaker-dev/caretaker/internal/archive/crypt"
)

// frameBytes is the most content that a frame holds.
const frameBytes = 1 << 20

// maxStoredFrame is the most that a frame of incompressible content takes.
const maxStoredFrame = frameBytes + frameBytes/64 + 4096

// sum guards against damage, not against forgery: that is what the seal is for.
func sum(data []byte) uint64 { return xxhash.Sum64(data) }

// codec turns content into frames and back. Key is nil where nothing is encrypted.
type codec struct {
	id        string
	algorithm compress.Algorithm
	key       *crypt.Key
}

func (c codec) name(pack, frame int) crypt.Frame {
	return crypt.Frame{Object: fmt.Sprintf("%s/%06d", c.id, pack), Index: uint64(frame)} //nolint:gosec // counts from 0
}

// encode appends a frame to dst. scratch is a buffer that it may use and gives back.
func (c codec) encode(dst, scratch, raw []byte, pack, frame int) (out, buffer []byte, f Frame, err error) { //nolint:revive // a buffer goes in and out
	start := len(dst)
	f = Frame{Offset: int64(start), Raw: len(raw), RawSum: sum(raw)}

	if c.key == nil {
		if dst, err = c.algorithm.Compress(dst, raw); err != nil {
			return dst, scratch, f, err
		}
	} else {
		if scratch, err = c.algorithm.Compress(scratch[:0], raw); err != nil {
			return dst, scratch, f, err
		}

		dst = c.key.SealFrame(dst, scratch, c.name(pack, frame))
	}

	f.Stored = len(dst) - start
	f.Sum = sum(dst[start:])

	return dst, scratch, f, nil
}

// decode gives the content of a stored frame, in a buffer that is used again with the next one.
func (c codec) decode(buffers *decodeBuffers, stored []byte, f Frame, pack, frame int) ([]byte, error) {
	damaged := func(reason string) error {
		return &DamagedError{Key: packKey(c.id, pack), Reason: fmt.Sprintf("frame %d at %d: %s", frame, f.Offset, reason)}
	}

	if len(stored) != f.Stored || sum(stored) != f.Sum {
		return nil, damaged("its checksum is wrong")
	}

	if f.Raw > frameBytes {
		return nil, damaged("it claims to be larger than a frame can be")
	}

	if c.key != nil {
		var err error
		if buffers.sealed, err = c.key.OpenFrame(buffers.sealed[:0], stored, c.name(pack, frame)); err != nil {
			return nil, damaged(err.Error())
		}

		stored = buffers.sealed
	}

	raw, err := c.algorithm.Decompress(slices.Grow(buffers.raw[:0], frameBytes), stored, f.Raw)
	if err != nil {
		return nil, damaged(err.Error())
	}

	buffers.raw = raw
	if len(raw) != f.Raw || sum(raw) != f.RawSum {
		return nil, damaged("its content is not what was written")
	}

	return raw, nil
}

type decodeBuffers struct{ sealed, raw []byte }
