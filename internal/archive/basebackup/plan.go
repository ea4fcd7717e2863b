package basebackup

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
)

// plan says what to read of each file, in pieces. The control file comes last, on its own.
func (t *take) plan(ctx context.Context, found *scan) ([]*entry, []piece, error) {
	var since changes

	if t.parent != nil && t.method() == WALSummaries {
		var err error
		if since, err = t.changes(ctx); err != nil {
			return nil, nil, err
		}
	}

	var (
		entries []*entry
		pieces  []piece
	)

	for i := range found.files {
		if found.files[i].name == controlFile {
			continue
		}

		e := &entry{file: found.files[i]}
		entries = append(entries, e)
		pieces = append(pieces, t.pieces(e, since)...)
	}

	return entries, pieces, nil
}

// changes since the parent, by the server's WAL summaries.
func (t *take) changes(ctx context.Context) (changes, error) {
	timeline, err := t.db.timeline(ctx)
	if err != nil {
		return nil, err
	}

	history, err := t.history(timeline)
	if err != nil {
		return nil, err
	}

	parent := t.parent.newest().manifest

	ranges, err := walRanges(parent.StartTimeline, parent.StartLSN, history, t.start)
	if err != nil {
		return nil, err
	}

	return t.db.changes(ctx, ranges)
}

// pieces of one file.
func (t *take) pieces(e *entry, since changes) []piece {
	block := int64(t.server.blockBytes)
	// The server may be adding a page just now: then the last one is cut off.
	isWhole := e.file.size%block == 0

	if r, ok := parseRelation(e.file.name); ok {
		e.relation = &r
	}

	var before *File
	if t.parent != nil && e.relation != nil && isWhole {
		before = t.parent.newest().files[e.file.name]
	}

	if since != nil && before != nil {
		if ranges, keep, ok := since.plan(e.relation, e.file.size/block, t.server.segBlocks); ok {
			e.partial, e.keepBlocks = true, keep

			return e.split(splitRanges(ranges, pieceBytes/block))
		}
	}

	if t.hasHashes() && e.relation != nil && isWhole {
		e.wantHashes(t, before)
	}

	var parts []piece
	for from := int64(0); from < e.file.size; from += pieceBytes {
		parts = append(parts, piece{from: from, to: min(from+pieceBytes, e.file.size)})
	}

	return e.split(parts)
}

// wantHashes makes the readers compare with the parent's hashes, if there are any, and keep the new ones.
func (e *entry) wantHashes(t *take, before *File) {
	e.hashes = [][]byte{}

	if t.parent == nil || t.method() != BlockHashes || before == nil || len(before.Hashes) == 0 {
		return
	}

	e.partial = true
	e.keepBlocks = e.file.size / int64(t.server.blockBytes)
	e.parentHashes = onceBytes(func(ctx context.Context) ([]byte, error) {
		return t.parent.newest().content(ctx, before.Hashes)
	})
}

// onceBytes calls load for the first who asks.
func onceBytes(load func(context.Context) ([]byte, error)) func(context.Context) ([]byte, error) {
	var (
		once   sync.Once
		result []byte
		err    error
	)

	return func(ctx context.Context) ([]byte, error) {
		once.Do(func() { result, err = load(ctx) })

		return result, err
	}
}

// splitRanges makes pieces of at most so many blocks.
func splitRanges(ranges []BlockRange, most int64) []piece {
	var (
		parts []piece
		open  []BlockRange
		count int64
	)

	for _, r := range ranges {
		for r.Count > 0 {
			n := min(r.Count, most-count)
			open = append(open, BlockRange{First: r.First, Count: n})
			r.First, r.Count, count = r.First+n, r.Count-n, count+n

			if count == most {
				parts, open, count = append(parts, piece{ranges: open}), nil, 0
			}
		}
	}

	if len(open) > 0 {
		parts = append(parts, piece{ranges: open})
	}

	return parts
}

// split gives each piece its place in the entry.
func (e *entry) split(parts []piece) []piece {
	e.extents = make([][]Extent, len(parts))
	e.kept = make([][]BlockRange, len(parts))
	e.hashExtents = make([][]Extent, len(parts))

	if e.hashes != nil {
		e.hashes = make([][]byte, len(parts))
	}

	for i := range parts {
		parts[i].file, parts[i].entry, parts[i].number = &e.file, e, i
	}

	return parts
}

func (p piece) bytes(block int) int64 {
	if p.ranges == nil {
		return p.to - p.from
	}

	n := int64(0)
	for _, r := range p.ranges {
		n += r.Count * int64(block)
	}

	return n
}

// describe is the entry as the index has it.
func (e *entry) describe() File {
	f := File{
		Path: e.file.name, Size: e.file.size, Mode: e.file.mode, Modified: e.file.modified,
		Extents: slices.Concat(e.extents...), Hashes: slices.Concat(e.hashExtents...),
	}

	if e.partial {
		f.Partial, f.Blocks, f.KeepBlocks = true, slices.Concat(e.kept...), e.keepBlocks
	}

	return f
}

// readAll shares the pieces out among the workers.
func (t *take) readAll(ctx context.Context, pieces []piece) error {
	group, ctx := errgroup.WithContext(ctx)
	queue := make(chan piece)

	group.Go(func() error {
		defer close(queue)

		for _, p := range pieces {
			select {
			case queue <- p:
			case <-ctx.Done():
				return ctx.Err()
			}
		}

		return nil
	})

	for range t.Workers {
		group.Go(func() error { return t.work(ctx, queue) })
	}

	return group.Wait()
}

func (t *take) work(ctx context.Context, queue <-chan piece) (err error) {
	k := newPacker(t.packs)
	defer func() {
		if err != nil {
			// Nothing may write to the store any more once the backup has failed.
			last := <-k.free
			_ = last
		}
	}()

	for p := range queue {
		if err := t.reader.do(ctx, k, p); err != nil {
			return err
		}

		if hashes := p.entry.hashes; hashes != nil && hashes[p.number] != nil {
			if p.entry.hashExtents[p.number], err = k.write(ctx, nil, hashes[p.number]); err != nil {
				return err
			}

			hashes[p.number] = nil
		}
	}

	return k.close(ctx)
}

// control reads the control file when all else has been read: on a standby it says how far a restored server must replay.
func (t *take) control(ctx context.Context) (File, error) {
	path := filepath.Join(t.dataDir, controlFile)

	info, err := os.Stat(path)
	if err != nil {
		return File{}, err
	}

	body, err := t.readControl(ctx, path)
	if err != nil {
		return File{}, err
	}

	k := newPacker(t.packs)

	extents, err := k.write(ctx, nil, body)
	if err == nil {
		err = k.close(ctx)
	}

	return File{
		Path: controlFile, Size: int64(len(body)), Mode: uint32(info.Mode().Perm()), Modified: info.ModTime().UTC(), Extents: extents,
	}, err
}

// readControl reads until the file is no mixture of two versions.
func (t *take) readControl(ctx context.Context, path string) ([]byte, error) {
	for range rereads {
		body, err := os.ReadFile(path) //nolint:gosec // the server's own file
		if err != nil {
			return nil, err
		}

		if isControlWhole(body) {
			return body, nil
		}

		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-t.Clock.After(rereadPause):
		}
	}

	return nil, errors.New(controlFile + " is damaged: its checksum stays wrong")
}

// isControlWhole looks for the checksum that ends the control file's contents. Where it is depends on the version; that the
// CRC-32C of all before it stands right there tells it.
func isControlWhole(body []byte) bool {
	const (
		first = 128
		last  = 1024
	)

	table := crc32.MakeTable(crc32.Castagnoli)

	for at := first; at+4 <= min(last, len(body)); at += 4 {
		if crc32.Checksum(body[:at], table) == binary.LittleEndian.Uint32(body[at:]) {
			return true
		}
	}

	return false
}
