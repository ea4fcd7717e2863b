package basebackup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/postgres"
)

const (
	// pieceBytes is how much of a file one worker reads at a time: large files are shared out.
	pieceBytes = 8 << 20
	// rereads of a page whose checksum is wrong: the server may be writing it just now.
	rereads     = 10
	rereadPause = 20 * time.Millisecond
	// maxSuspects bounds the list of damage; a disk that is broken throughout needs no longer one.
	maxSuspects = 1000
)

// piece is a part of a file to read: bytes [from, to), or, if ranges is not nil, those blocks.
type piece struct {
	file     *scanned
	entry    *entry
	number   int
	from, to int64
	ranges   []BlockRange
}

// entry collects what becomes of a file. Each piece writes to its own places.
type entry struct {
	file scanned
	// relation tells where the file's pages are counted from; nil for a file without pages.
	relation *relation
	extents  [][]Extent
	kept     [][]BlockRange
	hashes   [][]byte
	// hashExtents are where the hashes went.
	hashExtents [][]Extent

	partial    bool
	keepBlocks int64
	// parentHashes of the file's blocks, for an incremental backup by hashes.
	parentHashes func(context.Context) ([]byte, error)

	mu   sync.Mutex
	gone bool
}

// reader reads pieces of files and checks their pages.
type reader struct {
	clock      clock.Clock
	blockBytes int
	segBlocks  int64
	checksums  bool
	// start of the backup: a page that was changed since comes whole from the WAL.
	start  postgres.LSN
	onRead func(int64)

	mu       sync.Mutex
	suspects []suspect
}

// suspect is a page with a wrong checksum; with an LSN between start and stop it was only being written.
type suspect struct {
	Damage

	lsn postgres.LSN
}

// fileRead fills buf from the file at offset. What the file no longer has is zero: the WAL says that it was cut off.
func fileRead(file *os.File, buf []byte, offset int64) error {
	n, err := file.ReadAt(buf, offset)
	if errors.Is(err, io.EOF) {
		clear(buf[n:])

		return nil
	}

	return err
}

// readInto reads the range into the packer, and gives its extents.
func (r *reader) readInto(ctx context.Context, k *packer, p piece, file *os.File) ([]Extent, error) {
	if err := k.begin(ctx, p.to-p.from); err != nil {
		return nil, err
	}

	var extents []Extent

	for at := p.from; at < p.to; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}

		room := k.room()
		room = room[:min(int64(len(room)), p.to-at)]

		if err := fileRead(file, room, at); err != nil {
			return nil, fmt.Errorf("read %s: %w", p.file.name, err)
		}

		if err := r.checkPages(ctx, p.entry, file, room, at); err != nil {
			return nil, err
		}

		var err error
		if extents, err = k.took(ctx, extents, len(room)); err != nil {
			return nil, err
		}

		at += int64(len(room))
		r.onRead(int64(len(room)))
	}

	return extents, nil
}

// checkPages verifies the pages that lie whole in data, which was read at offset, and corrects those that were being written.
// The frame's start is a multiple of the block size in the file wherever the file begins a frame, which files of pages of
// ownFrame or more do; a smaller one is in one frame. What is cut by a frame's end is read again.
func (r *reader) checkPages(ctx context.Context, e *entry, file *os.File, data []byte, offset int64) error {
	if !r.checksums || e.relation == nil {
		return nil
	}

	block := int64(r.blockBytes)

	for at := 0; at+r.blockBytes <= len(data); at += r.blockBytes {
		number := (offset + int64(at)) / block
		page := data[at : at+r.blockBytes]

		if isPageGood(page, r.pageNumber(e, number)) {
			continue
		}

		if err := r.recheck(ctx, e, file, page, number); err != nil {
			return err
		}
	}

	return nil
}

// pageNumber counts from the start of the fork, over all its segments.
func (r *reader) pageNumber(e *entry, number int64) uint32 {
	return uint32((e.relation.segment*r.segBlocks + number) & math.MaxUint32)
}

// recheck reads a page again until it is whole, and remembers it if it stays wrong.
func (r *reader) recheck(ctx context.Context, e *entry, file *os.File, page []byte, number int64) error {
	for range rereads {
		if err := fileRead(file, page, number*int64(r.blockBytes)); err != nil {
			return fmt.Errorf("read %s again: %w", e.file.name, err)
		}

		if isPageGood(page, r.pageNumber(e, number)) {
			return nil
		}

		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-r.clock.After(rereadPause):
		}

		// Half of a page that the server has begun to write anew comes whole from the WAL.
		if pageLSN(page) >= r.start {
			break
		}
	}

	r.mu.Lock()
	defer r.mu.Unlock()

	if len(r.suspects) < maxSuspects {
		r.suspects = append(r.suspects, suspect{Damage: Damage{File: e.file.name, Block: number}, lsn: pageLSN(page)})
	}

	return nil
}

// damaged are the suspects that the WAL up to stop does not bring whole.
func (r *reader) damaged(stop postgres.LSN) []Damage {
	r.mu.Lock()
	defer r.mu.Unlock()

	var found []Damage

	for _, s := range r.suspects {
		if s.lsn < r.start || s.lsn > stop {
			found = append(found, s.Damage)
		}
	}

	return found
}

// openPiece opens a piece's file; nil if it is gone.
func openPiece(p piece) (*os.File, error) {
	file, err := os.Open(p.file.path)
	if errors.Is(err, fs.ErrNotExist) {
		p.entry.mu.Lock()
		p.entry.gone = true
		p.entry.mu.Unlock()

		return nil, nil //nolint:nilnil // gone is an answer
	}

	if err != nil {
		return nil, fmt.Errorf("read %s: %w", p.file.name, err)
	}

	return file, nil
}

// do reads a piece into the packer.
func (r *reader) do(ctx context.Context, k *packer, p piece) (err error) {
	file, err := openPiece(p)
	if file == nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()

	switch {
	case p.ranges != nil:
		return r.doRanges(ctx, k, p, file)
	case p.entry.hashes != nil:
		return r.doHashes(ctx, k, p, file)
	default:
		p.entry.extents[p.number], err = r.readInto(ctx, k, p, file)

		return err
	}
}

// doRanges reads the blocks that WAL summaries name.
func (r *reader) doRanges(ctx context.Context, k *packer, p piece, file *os.File) error {
	var all []Extent

	for _, blocks := range p.ranges {
		part := p
		part.from, part.to = blocks.First*int64(r.blockBytes), (blocks.First+blocks.Count)*int64(r.blockBytes)

		extents, err := r.readRange(ctx, k, part, file, all)
		if err != nil {
			return err
		}

		all = extents
	}

	p.entry.extents[p.number] = all
	p.entry.kept[p.number] = p.ranges

	return nil
}

// readRange is readInto for a few blocks in a row, which share frames with others.
func (r *reader) readRange(ctx context.Context, k *packer, p piece, file *os.File, extents []Extent) ([]Extent, error) {
	page := make([]byte, r.blockBytes)

	for at := p.from; at < p.to; at += int64(len(page)) {
		if err := fileRead(file, page, at); err != nil {
			return nil, fmt.Errorf("read %s: %w", p.file.name, err)
		}

		if err := r.checkPages(ctx, p.entry, file, page, at); err != nil {
			return nil, err
		}

		var err error
		if extents, err = k.write(ctx, extents, page); err != nil {
			return nil, err
		}

		r.onRead(int64(len(page)))
	}

	return extents, ctx.Err()
}
