package basebackup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"filippo.io/age"
	"golang.org/x/sync/errgroup"
	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/archive/crypt"
	"github.com/caretaker-dev/caretaker/internal/archiveapi"
	"github.com/caretaker-dev/caretaker/internal/objectstore"
)

// VerifyOptions of Verify.
type VerifyOptions struct {
	Store  objectstore.Store
	Backup string
	// Identities open an encrypted backup. Without them, what is stored is still compared with its checksums, but not opened,
	// and the report says so.
	Identities []age.Identity
	Workers    int
	// CheckWAL reads a segment of the archive back, by name, and checks it. Its error is a *DamagedError, or wraps
	// objectstore.ErrNotFound, if the segment is no good. Nil: that it is there is all that is checked.
	CheckWAL func(ctx context.Context, name string) error

	Progress func(archiveapi.Progress)
	Clock    clock.WithTicker
}

// Report of a verification.
type Report struct {
	Backup string `json:"backup"`
	// Restorable: everything that a restore needs was read back, and is as it was written.
	Restorable bool `json:"restorable"`
	// Problems are why it is not, each naming its object or segment.
	Problems []string `json:"problems,omitempty"`
	// Sealed: there was no identity to open an encrypted backup with, so its content was not looked at.
	Sealed bool `json:"sealed,omitempty"`
	// Chain of backups that a restore needs, the full one first.
	Chain       []string  `json:"chain"`
	Objects     int       `json:"objects"`
	Bytes       int64     `json:"bytes"`
	WALSegments int       `json:"walSegments"`
	Started     time.Time `json:"started"`
	Completed   time.Time `json:"completed"`
}

// String is for people.
func (r *Report) String() string {
	if !r.Restorable {
		return fmt.Sprintf("backup %s cannot be restored: %s", r.Backup, strings.Join(r.Problems, "; "))
	}

	text := fmt.Sprintf("backup %s can be restored: %d objects, %d MiB and %d WAL segments were read back",
		r.Backup, r.Objects, r.Bytes>>20, r.WALSegments)
	if r.Sealed {
		text += " (as they are stored: there is no identity to open them with)"
	}

	return text
}

// verification is one in progress.
type verification struct {
	VerifyOptions

	meter *meter

	mu     sync.Mutex
	report Report
}

// Verify reads a backup, its parents and their WAL back. An error means that it could not be found out; what is wrong with the backup is in the
// report.
func Verify(ctx context.Context, o VerifyOptions) (*Report, error) {
	v := &verification{VerifyOptions: o, meter: newMeter(o.Clock, o.Progress)}
	v.report = Report{Backup: o.Backup, Started: o.Clock.Now().UTC()}

	if v.Workers <= 0 {
		v.Workers = DefaultWorkers
	}

	defer v.meter.run(ctx)()

	manifests, err := lineage(ctx, v.Store, v.Backup)
	if err := v.note(err); err != nil {
		return nil, err
	}

	for _, m := range manifests {
		v.report.Chain = append(v.report.Chain, m.ID)
		v.meter.total.Add(m.StoredBytes)
	}

	v.meter.enter(archiveapi.PhaseVerifying)

	for _, m := range manifests {
		if err := v.backup(ctx, m); err != nil {
			return nil, err
		}
	}

	if len(manifests) > 0 {
		if err := v.structure(ctx, manifests); err != nil {
			return nil, err
		}

		if err := v.wal(ctx, manifests[len(manifests)-1]); err != nil {
			return nil, err
		}
	}

	v.report.Completed = v.Clock.Now().UTC()
	v.report.Restorable = len(v.report.Problems) == 0
	v.meter.enter(archiveapi.PhaseDone)
	slices.Sort(v.report.Problems)

	return &v.report, nil
}

// note keeps an error that says what is wrong with the backup, and gives back one that only says that we do not know.
func (v *verification) note(err error) error {
	var (
		damaged *DamagedError
		missing *WALMissingError
	)

	if err == nil {
		return nil
	}

	isFinding := errors.As(err, &damaged) || errors.As(err, &missing) || errors.Is(err, ErrNoBackup) ||
		errors.Is(err, objectstore.ErrNotFound)
	if !isFinding {
		return err
	}

	v.mu.Lock()
	defer v.mu.Unlock()

	if text := err.Error(); !slices.Contains(v.report.Problems, text) {
		v.report.Problems = append(v.report.Problems, text)
	}

	return nil
}

// backup reads all of one backup's objects back.
func (v *verification) backup(ctx context.Context, m *Manifest) error {
	l, err := v.open(ctx, m)
	if err != nil || l == nil {
		return v.note(err)
	}

	v.report.Objects += 2 + len(l.index.Packs)

	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(v.Workers)

	for i := range l.index.Packs {
		group.Go(func() error {
			n, err := v.pack(ctx, l, i+1)
			v.meter.add(n)

			v.mu.Lock()
			v.report.Bytes += n
			v.mu.Unlock()

			return v.note(err)
		})
	}

	return group.Wait()
}

// open is openLink, but does without the key as far as it goes: then only the index cannot be read, and nothing more is said than that.
func (v *verification) open(ctx context.Context, m *Manifest) (*link, error) {
	l, err := openLink(ctx, v.Store, m, v.Identities)
	if !errors.Is(err, crypt.ErrNoIdentity) {
		return l, err
	}

	v.report.Sealed = true

	body, err := objectstore.Get(ctx, v.Store, indexKey(m.ID), maxIndexBytes)
	if err != nil {
		return nil, err
	}

	if int64(len(body)) != m.IndexBytes || sum(body) != m.IndexSum {
		return nil, &DamagedError{Key: indexKey(m.ID), Reason: "its size or checksum is not what the manifest says"}
	}

	return nil, v.sizes(ctx, m)
}

// sizes is what can be checked of packs without the index, which is sealed: that they are all there, with all their bytes.
func (v *verification) sizes(ctx context.Context, m *Manifest) error {
	total, count := m.IndexBytes, 0

	for info, err := range v.Store.List(ctx, folder(m.ID)+"packs/", "") {
		if err != nil {
			return err
		}

		total += info.Size
		count++
	}

	v.report.Objects += 2 + count
	v.report.Bytes += total

	if count != m.Packs || total != m.StoredBytes {
		return &DamagedError{Key: folder(m.ID) + "packs/", Reason: fmt.Sprintf("there are %d packs and %d bytes in all, %d and %d were written",
			count, total, m.Packs, m.StoredBytes)}
	}

	return nil
}

// pack checks all frames of a pack; what it holds is decompressed and opened too.
func (v *verification) pack(ctx context.Context, l *link, number int) (int64, error) {
	p := l.index.Packs[number-1]

	stored, err := l.readRange(ctx, nil, number, 0, p.Bytes)
	if err != nil {
		return 0, err
	}

	info, err := v.Store.Head(ctx, packKey(l.manifest.ID, number))
	if err != nil {
		return 0, err
	}

	if info.Size != p.Bytes {
		return 0, &DamagedError{Key: packKey(l.manifest.ID, number), Reason: fmt.Sprintf("it has %d bytes, %d were written", info.Size, p.Bytes)}
	}

	n, err := l.checkPack(number, stored)

	return n, errors.Join(err, ctx.Err())
}

// checkPack checks all frames of a pack; at is how far it came.
func (l *link) checkPack(number int, stored []byte) (at int64, err error) {
	var buffers decodeBuffers

	p := l.index.Packs[number-1]
	if int64(len(stored)) != p.Bytes {
		return 0, &DamagedError{Key: packKey(l.manifest.ID, number), Reason: fmt.Sprintf("it has %d bytes, %d were written", len(stored), p.Bytes)}
	}

	for i, frame := range p.Frames {
		if frame.Offset != at || at+int64(frame.Stored) > p.Bytes {
			return at, &DamagedError{Key: indexKey(l.manifest.ID), Reason: fmt.Sprintf("the frames of pack %d do not follow each other", number)}
		}

		if _, err := l.codec.decode(&buffers, stored[at:at+int64(frame.Stored)], frame, number, i); err != nil {
			return at, err
		}

		at += int64(frame.Stored)
	}

	return p.Bytes, nil
}

// structure makes sure that every byte of every file has its place in the chain.
func (v *verification) structure(ctx context.Context, manifests []*Manifest) error {
	if v.report.Sealed || len(v.report.Problems) > 0 {
		return nil
	}

	c, err := openChain(ctx, v.Store, manifests[len(manifests)-1].ID, v.Identities)
	if err != nil {
		return v.note(err)
	}

	if _, _, err := c.plan(); err != nil {
		return v.note(&DamagedError{Key: indexKey(c.newest().manifest.ID), Reason: err.Error()})
	}

	return nil
}

// wal checks that there is no gap from a backup's start to its end, and reads it all back.
func (v *verification) wal(ctx context.Context, m *Manifest) error {
	missing, err := MissingWAL(ctx, v.Store, m)
	if err != nil {
		return err
	}

	if missing != nil {
		return v.note(missing)
	}

	history, err := m.TimelineHistory()
	if err != nil {
		return v.note(&DamagedError{Key: manifestKey(m.ID), Reason: err.Error()})
	}

	for _, name := range segments(history, m.StartLSN, m.StopLSN, m.WALSegmentBytes) {
		v.report.WALSegments++

		if v.CheckWAL == nil {
			continue
		}

		if err := v.note(v.CheckWAL(ctx, name)); err != nil {
			return err
		}
	}

	return nil
}
