package basebackup

import (
	"cmp"
	"fmt"
	"slices"
)

// run is content of a restored file: from one frame on, continued in those that follow.
type run struct {
	at     int64
	bytes  int64
	link   int
	pack   int
	frame  int
	offset int
}

// resolve gives where the newest copy of every byte in [from, to) of a file is. What no run covers is zero.
func (c *chain) resolve(level int, f *File, from, to int64, block int64) ([]run, error) {
	to = min(to, f.Size)
	if from >= to {
		return nil, nil
	}

	if !f.Partial {
		return cut(c.whole(level, f), from, to), nil
	}

	own := c.blocks(level, f, block)
	runs := cut(own, from, to)

	if level == 0 {
		return nil, fmt.Errorf("%s of backup %s is not whole, and there is no backup before it", f.Path, c.links[0].manifest.ID)
	}

	before, ok := c.links[level-1].files[f.Path]
	if !ok {
		if f.KeepBlocks == 0 {
			return runs, nil
		}

		return nil, fmt.Errorf("backup %s counts on %s in its parent %s, which does not have it",
			c.links[level].manifest.ID, f.Path, c.links[level-1].manifest.ID)
	}

	keep := min(to, f.KeepBlocks*block)

	for _, gap := range gaps(runs, from, keep) {
		older, err := c.resolve(level-1, before, gap.at, gap.at+gap.bytes, block)
		if err != nil {
			return nil, err
		}

		runs = append(runs, older...)
	}

	slices.SortFunc(runs, func(a, b run) int { return cmp.Compare(a.at, b.at) })

	return runs, nil
}

// whole are the runs of a file that is complete in its backup.
func (c *chain) whole(level int, f *File) []run {
	runs := make([]run, 0, len(f.Extents))
	at := int64(0)

	for _, e := range f.Extents {
		runs = append(runs, run{at: at, bytes: e.Bytes, link: level, pack: e.Pack, frame: e.Frame, offset: e.Offset})
		at += e.Bytes
	}

	return runs
}

// blocks are the runs of the blocks that a backup has of a file.
func (c *chain) blocks(level int, f *File, block int64) []run {
	content := c.whole(level, f)
	at := int64(0)

	var runs []run

	for _, r := range f.Blocks {
		for _, part := range cutRuns(content, at, at+r.Count*block) {
			part.at += r.First*block - at
			runs = append(runs, part)
		}

		at += r.Count * block
	}

	return runs
}

// cutRuns is cut by binary search: content may have many runs.
func cutRuns(content []run, from, to int64) []run {
	first, _ := slices.BinarySearchFunc(content, from, func(r run, at int64) int { return cmp.Compare(r.at+r.bytes-1, at) })
	last := first

	for last < len(content) && content[last].at < to {
		last++
	}

	return cut(content[first:last], from, to)
}

// cut gives the parts of runs within [from, to). A run's offset may then lie beyond its first frame: it is counted through.
func cut(runs []run, from, to int64) []run {
	var out []run

	for _, r := range runs {
		start, end := max(r.at, from), min(r.at+r.bytes, to)
		if start >= end {
			continue
		}

		r.offset += int(start - r.at)
		r.at, r.bytes = start, end-start
		out = append(out, r)
	}

	return out
}

// gaps are the parts of [from, to) that sorted runs leave out.
func gaps(runs []run, from, to int64) []run {
	var out []run

	at := from
	for _, r := range runs {
		if r.at >= to {
			break
		}

		if r.at > at {
			out = append(out, run{at: at, bytes: r.at - at})
		}

		at = max(at, r.at+r.bytes)
	}

	if at < to {
		out = append(out, run{at: at, bytes: to - at})
	}

	return out
}

// placement is where a part of a frame goes.
type placement struct {
	file string
	at   int64
	// from, to in the frame's content.
	from, to int
	// isWholeFrame: the frame holds nothing but this, so its checksum is this range's.
	isWholeFrame bool
}

// job is a pack's frames that are needed.
type job struct {
	link, pack int
	frames     map[int][]placement
}

// jobs turn the runs of files into what is to be read of each pack.
type jobs struct {
	chain *chain
	found map[[2]int]*job
	bytes int64
}

// add splits a run by frames.
func (j *jobs) add(file string, r run) error {
	l := j.chain.links[r.link]
	frames := l.index.Packs[r.pack-1].Frames
	key := [2]int{r.link, r.pack}

	work, ok := j.found[key]
	if !ok {
		work = &job{link: r.link, pack: r.pack, frames: map[int][]placement{}}
		j.found[key] = work
	}

	at, left, offset := r.at, r.bytes, r.offset

	for i := r.frame; left > 0; i++ {
		if i >= len(frames) {
			return &DamagedError{Key: indexKey(l.manifest.ID), Reason: fmt.Sprintf("%s counts on frame %d of pack %d", file, i, r.pack)}
		}

		if offset >= frames[i].Raw {
			offset -= frames[i].Raw

			continue
		}

		n := min(int64(frames[i].Raw-offset), left)
		work.frames[i] = append(work.frames[i], placement{
			file: file, at: at, from: offset, to: offset + int(n), isWholeFrame: offset == 0 && n == int64(frames[i].Raw),
		})
		at, left, offset = at+n, left-n, 0
		j.bytes += n
	}

	return nil
}

// plan gives all jobs of a restore.
func (c *chain) plan() ([]*job, int64, error) {
	j := &jobs{chain: c, found: map[[2]int]*job{}}
	newest := c.newest()
	block := int64(newest.manifest.BlockBytes)

	for i := range newest.index.Files {
		f := &newest.index.Files[i]
		if f.Path == controlFile {
			continue
		}

		runs, err := c.resolve(len(c.links)-1, f, 0, f.Size, block)
		if err != nil {
			return nil, 0, err
		}

		for _, r := range runs {
			if err := j.add(f.Path, r); err != nil {
				return nil, 0, err
			}
		}
	}

	all := make([]*job, 0, len(j.found))
	for _, work := range j.found {
		all = append(all, work)
	}

	slices.SortFunc(all, func(a, b *job) int { return cmp.Or(cmp.Compare(a.link, b.link), cmp.Compare(a.pack, b.pack)) })

	return all, j.bytes, nil
}
