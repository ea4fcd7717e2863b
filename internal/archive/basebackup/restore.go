package basebackup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"filippo.io/age"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/archiveapi"
	"github.com/caretaker-dev/caretaker/internal/objectstore"
)

// RestoreOptions of Restore.
type RestoreOptions struct {
	// Store of the server, objectstore.Within(store, server).
	Store objectstore.Store
	// Backup is the ID of what is restored.
	Backup string
	// DataDir to make. It must be missing or empty, unless Delta.
	DataDir string
	// Delta brings the data directory that is there up to the backup: only what differs is fetched. What the backup does not have
	// is removed; the contents of pg_wal are moved to pg_wal/before-restore.
	Delta bool
	// Tablespaces says where tablespaces go, by their location in the backup. Those that are not named go to where they were.
	Tablespaces map[string]string
	// Identities open an encrypted backup.
	Identities []age.Identity
	Workers    int

	Progress func(archiveapi.Progress)
	Clock    clock.WithTicker
}

// Restored says what Restore did.
type Restored struct {
	Manifest *Manifest `json:"manifest"`
	// FetchedBytes were read from the store.
	FetchedBytes int64 `json:"fetchedBytes"`
	// KeptBytes were in the data directory already.
	KeptBytes int64 `json:"keptBytes"`
}

// restore is one in progress.
type restore struct {
	RestoreOptions

	chain *chain
	tree  *tree
	meter *meter

	fetched, kept counter
}

// Restore makes a data directory of a backup. It cannot be started before Restore has returned: its control file is
// written last, with backup_label in place, and everything on disk. The caller puts recovery.signal and RecoverySettings there.
func Restore(ctx context.Context, o RestoreOptions) (*Restored, error) {
	r := &restore{RestoreOptions: o, meter: newMeter(o.Clock, o.Progress)}
	if r.Workers <= 0 {
		r.Workers = DefaultWorkers
	}

	defer r.meter.run(ctx)()

	var err error
	if r.chain, err = openChain(ctx, r.Store, r.Backup, r.Identities); err != nil {
		return nil, err
	}

	if r.chain.newest().manifest.Kind == Snapshot {
		return nil, fmt.Errorf("the files of backup %s are in a snapshot of a volume: make a volume of it and restore with --snapshot, or choose another backup", r.Backup)
	}

	// All that can be wrong with the backup's structure comes out here, before anything is touched.
	work, bytes, err := r.chain.plan()
	if err != nil {
		return nil, err
	}

	control, label, err := r.lastFiles(ctx)
	if err != nil {
		return nil, err
	}

	if r.tree, err = openTree(r.DataDir, r.Delta, r.chain.newest(), r.Tablespaces); err != nil {
		return nil, err
	}

	if err := r.tree.prepare(r.chain); err != nil {
		return nil, err
	}

	r.meter.total.Store(bytes)
	r.meter.enter(archiveapi.PhaseRestoring)

	if err := r.fetchAll(ctx, work); err != nil {
		return nil, err
	}

	r.meter.enter(archiveapi.PhaseSyncing)

	if err := r.finish(control, label); err != nil {
		return nil, err
	}

	r.meter.enter(archiveapi.PhaseDone)

	return &Restored{Manifest: r.chain.newest().manifest, FetchedBytes: r.fetched.value(), KeptBytes: r.kept.value()}, nil
}

// lastFiles are what makes the directory one that can be started.
func (r *restore) lastFiles(ctx context.Context) (control []byte, label string, err error) {
	newest := r.chain.newest()

	f, ok := newest.files[controlFile]
	if !ok || newest.index.Label == "" {
		return nil, "", &DamagedError{Key: indexKey(newest.manifest.ID), Reason: "it has no control file or no backup_label"}
	}

	control, err = newest.content(ctx, f.Extents)

	return control, newest.index.Label, err
}

// fetchAll reads the packs in parallel.
func (r *restore) fetchAll(ctx context.Context, work []*job) error {
	group, ctx := errgroup.WithContext(ctx)
	queue := make(chan *job)

	group.Go(func() error {
		defer close(queue)

		for _, w := range work {
			select {
			case queue <- w:
			case <-ctx.Done():
				return ctx.Err()
			}
		}

		return nil
	})

	// While one fetches, another one decompresses and writes.
	for range 2 * r.Workers {
		group.Go(func() error {
			f := &fetcher{restore: r}

			for w := range queue {
				if err := f.do(ctx, w); err != nil {
					return err
				}
			}

			return nil
		})
	}

	return group.Wait()
}

// fetcher has the buffers of one worker.
type fetcher struct {
	*restore

	stored  []byte
	local   []byte
	buffers decodeBuffers
}

const (
	// joinGap is how much that is not needed is read along, rather than asking the store once more.
	joinGap = 256 << 10
)

func (f *fetcher) do(ctx context.Context, w *job) error {
	l := f.chain.links[w.link]
	frames := l.index.Packs[w.pack-1].Frames

	var needed []int

	for number, placements := range w.frames {
		isThere, err := f.isThere(frames[number], placements)
		if err != nil {
			return err
		}

		if isThere {
			f.kept.add(int64(frames[number].Raw))
			f.meter.add(int64(frames[number].Raw))
		} else {
			needed = append(needed, number)
		}
	}

	slices.Sort(needed)

	for _, batch := range batches(frames, needed) {
		if err := f.fetch(ctx, w, l, batch); err != nil {
			return err
		}
	}

	return nil
}

// isThere says that a file has a frame's content already.
func (f *fetcher) isThere(frame Frame, placements []placement) (bool, error) {
	if !f.Delta || len(placements) != 1 || !placements[0].isWholeFrame {
		return false, nil
	}

	p := placements[0]

	file, err := os.Open(f.tree.path(p.file))
	if err != nil {
		return false, err
	}

	f.local = slices.Grow(f.local[:0], frameBytes)[:frame.Raw]
	n, _ := file.ReadAt(f.local, p.at) // what cannot be read is not there

	return n == frame.Raw && sum(f.local) == frame.RawSum, file.Close()
}

// batches join frames that lie close to each other.
func batches(frames []Frame, needed []int) [][]int {
	var out [][]int

	end := int64(0)

	for _, number := range needed {
		frame := frames[number]
		if len(out) == 0 || frame.Offset > end+joinGap {
			out = append(out, nil)
		}

		out[len(out)-1] = append(out[len(out)-1], number)
		end = frame.Offset + int64(frame.Stored)
	}

	return out
}

func (f *fetcher) fetch(ctx context.Context, w *job, l *link, batch []int) error {
	frames := l.index.Packs[w.pack-1].Frames
	first, last := frames[batch[0]], frames[batch[len(batch)-1]]
	length := last.Offset + int64(last.Stored) - first.Offset

	var err error
	if f.stored, err = l.readRange(ctx, f.stored, w.pack, first.Offset, length); err != nil {
		return err
	}

	f.fetched.add(length)

	for _, number := range batch {
		if err := ctx.Err(); err != nil {
			return err
		}

		frame := frames[number]
		start := frame.Offset - first.Offset

		raw, err := l.codec.decode(&f.buffers, f.stored[start:start+int64(frame.Stored)], frame, w.pack, number)
		if err != nil {
			return err
		}

		if err := f.place(raw, w.frames[number]); err != nil {
			return err
		}
	}

	return nil
}

// place writes a frame's content to where it belongs, each file opened once.
func (f *fetcher) place(raw []byte, placements []placement) (err error) {
	var (
		file *os.File
		name string
	)

	defer func() {
		if file != nil {
			err = errors.Join(err, file.Close())
		}
	}()

	for _, p := range placements {
		if file == nil || name != p.file {
			if file != nil {
				if err := file.Close(); err != nil {
					return err
				}
			}

			if file, err = os.OpenFile(f.tree.path(p.file), os.O_WRONLY, 0); err != nil {
				return err
			}

			name = p.file
		}

		if _, err := file.WriteAt(raw[p.from:p.to], p.at); err != nil {
			return fmt.Errorf("write %s: %w", p.file, err)
		}

		f.meter.add(int64(p.to - p.from))
	}

	return nil
}

// finish puts everything on disk, and then the file without which no server starts.
func (r *restore) finish(control []byte, label string) error {
	if err := r.tree.finish(label); err != nil {
		return err
	}

	for _, root := range r.tree.roots() {
		if err := syncFileSystem(root); err != nil {
			return fmt.Errorf("sync %s: %w", root, err)
		}
	}

	if err := r.tree.write(controlFile, control); err != nil {
		return err
	}

	return syncFileSystem(r.DataDir)
}

// syncFileSystem is one call for any number of files.
func syncFileSystem(dir string) error {
	file, err := os.Open(dir) //nolint:gosec // the user's own directory
	if err != nil {
		return err
	}

	return errors.Join(unix.Syncfs(int(file.Fd())), file.Close())
}

// checkSpace says before a restore that there is no room for it.
func checkSpace(dir string, bytes int64) error {
	var stat unix.Statfs_t

	for err := unix.Statfs(dir, &stat); err != nil; err = unix.Statfs(dir, &stat) {
		if !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			return err
		}

		dir = filepath.Dir(dir)
	}

	free := int64(stat.Bavail) * stat.Bsize //nolint:gosec // below 2^63
	if cmp.Less(free, bytes) {
		return fmt.Errorf("%s has %d MiB free, and the backup needs %d MiB", dir, free>>20, bytes>>20)
	}

	return nil
}
