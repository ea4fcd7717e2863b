package basebackup

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
)

// hashBytes of each block: XXH64, which a change of a block escapes once in 2^64. Its LSN is a part of it, and WAL that was
// written meanwhile brings the block anyway.
const hashBytes = 8

// doHashes reads a piece and keeps its blocks' hashes; of an incremental backup only the blocks whose hash has changed.
func (r *reader) doHashes(ctx context.Context, k *packer, p piece, file *os.File) error {
	var before []byte

	if p.entry.partial {
		all, err := p.entry.parentHashes(ctx)
		if err != nil {
			return err
		}

		first := min(int64(len(all)), p.from/int64(r.blockBytes)*hashBytes)
		before = all[first:]
	} else if err := k.begin(ctx, p.to-p.from); err != nil {
		return err
	}

	hashes := make([]byte, 0, (p.to-p.from)/int64(r.blockBytes)*hashBytes)
	page := make([]byte, r.blockBytes)

	for at := p.from; at < p.to; at += int64(len(page)) {
		if err := fileRead(file, page, at); err != nil {
			return fmt.Errorf("read %s: %w", p.file.name, err)
		}

		if err := r.checkPages(ctx, p.entry, file, page, at); err != nil {
			return err
		}

		hash := sum(page)
		place := len(hashes)
		hashes = binary.LittleEndian.AppendUint64(hashes, hash)
		r.onRead(int64(len(page)))

		if p.entry.partial && place+hashBytes <= len(before) && binary.LittleEndian.Uint64(before[place:]) == hash {
			continue
		}

		var err error
		if p.entry.extents[p.number], err = k.write(ctx, p.entry.extents[p.number], page); err != nil {
			return err
		}

		p.entry.kept[p.number] = appendBlock(p.entry.kept[p.number], at/int64(r.blockBytes))
	}

	p.entry.hashes[p.number] = hashes

	return ctx.Err()
}

// appendBlock adds a block behind all others.
func appendBlock(ranges []BlockRange, block int64) []BlockRange {
	if n := len(ranges); n > 0 && ranges[n-1].First+ranges[n-1].Count == block {
		ranges[n-1].Count++

		return ranges
	}

	return append(ranges, BlockRange{First: block, Count: 1})
}
