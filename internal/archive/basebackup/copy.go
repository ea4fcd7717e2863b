package basebackup

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"
	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/archive/layout"
	"github.com/caretaker-dev/caretaker/internal/archiveapi"
	"github.com/caretaker-dev/caretaker/internal/objectstore"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

// CopyOptions of Copy.
type CopyOptions struct {
	From, To objectstore.Store
	// Backup to copy, with its parents.
	Backup string
	// WithoutLaterWAL leaves out the WAL after the backup's end.
	WithoutLaterWAL bool
	Workers         int

	Progress func(archiveapi.Progress)
	Clock    clock.WithTicker
}

// Copied says what Copy did.
type Copied struct {
	Backups []string `json:"backups"`
	Objects int64    `json:"objects"`
	Bytes   int64    `json:"bytes"`
	// Present objects were there already.
	Present int64 `json:"present"`
}

// copying is one in progress.
type copying struct {
	CopyOptions

	meter                   *meter
	objects, bytes, present counter
}

// Copy brings a backup, its parents and the WAL since the oldest of them to another store. As in the first one, a backup exists there only once all of it does. It
// can be interrupted and run again: what is there already is not copied again.
func Copy(ctx context.Context, o CopyOptions) (*Copied, error) {
	c := &copying{CopyOptions: o, meter: newMeter(o.Clock, o.Progress)}
	if c.Workers <= 0 {
		c.Workers = DefaultWorkers
	}

	defer c.meter.run(ctx)()

	manifests, err := lineage(ctx, c.From, c.Backup)
	if err != nil {
		return nil, err
	}

	newest := manifests[len(manifests)-1]
	if err := CheckOwner(ctx, c.To, newest.SystemIdentifier); err != nil {
		return nil, fmt.Errorf("the store to copy to: %w", err)
	}

	result := &Copied{}

	for _, m := range manifests {
		c.meter.total.Add(m.StoredBytes)
		result.Backups = append(result.Backups, m.ID)
	}

	c.meter.enter(archiveapi.PhaseCopying)

	// The WAL comes first: a backup that is listed there can be restored there.
	if err := c.wal(ctx, newest); err != nil {
		return nil, err
	}

	for _, m := range manifests {
		if err := c.backup(ctx, m); err != nil {
			return nil, fmt.Errorf("copy backup %s: %w", m.ID, err)
		}
	}

	c.meter.enter(archiveapi.PhaseDone)
	result.Objects, result.Bytes, result.Present = c.objects.value(), c.bytes.value(), c.present.value()

	return result, nil
}

// backup copies all but the manifest, and then that.
func (c *copying) backup(ctx context.Context, m *Manifest) error {
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(c.Workers)

	for info, err := range c.From.List(ctx, folder(m.ID), "") {
		if err != nil {
			return errors.Join(err, group.Wait())
		}

		if info.Key == manifestKey(m.ID) || info.Key == expiredKey(m.ID) {
			continue
		}

		group.Go(func() error { return c.object(groupCtx, info) })
	}

	if err := group.Wait(); err != nil {
		return err
	}

	info, err := c.From.Head(ctx, manifestKey(m.ID))
	if err != nil {
		return err
	}

	return c.object(ctx, info)
}

const maxObjectBytes = 2 << 30

// object copies one object, unless there is one of its size.
func (c *copying) object(ctx context.Context, info objectstore.Info) error {
	defer c.meter.add(info.Size)

	have, err := c.To.Head(ctx, info.Key)
	if err == nil && have.Size == info.Size {
		c.present.add(1)

		return nil
	}

	if err != nil && !errors.Is(err, objectstore.ErrNotFound) {
		return err
	}

	body, err := objectstore.Get(ctx, c.From, info.Key, maxObjectBytes)
	if err != nil {
		return err
	}

	if int64(len(body)) != info.Size {
		return fmt.Errorf("%s has %d bytes, and %d were announced", info.Key, len(body), info.Size)
	}

	if err := c.To.Put(ctx, info.Key, body); err != nil {
		return err
	}

	c.objects.add(1)
	c.bytes.add(info.Size)

	return nil
}

// wal copies the histories, and the segments from the backup's start on.
func (c *copying) wal(ctx context.Context, m *Manifest) error {
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(c.Workers)

	from := postgres.SegmentAt(1, m.StartLSN, m.WALSegmentBytes)
	to := postgres.SegmentAt(1, m.StopLSN, m.WALSegmentBytes)

	for _, prefix := range []string{layout.HistoryPrefix, layout.WALPrefix} {
		for info, err := range c.From.List(ctx, prefix, "") {
			if err != nil {
				return errors.Join(err, group.Wait())
			}

			segment, isSegment := segmentOf(info.Key, m.WALSegmentBytes)
			if isSegment && (segment.Number < from.Number || c.WithoutLaterWAL && segment.Number > to.Number) {
				continue
			}

			group.Go(func() error { return c.object(groupCtx, info) })
		}
	}

	return group.Wait()
}
