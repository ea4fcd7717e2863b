package basebackup

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"sync"

	"filippo.io/age"
	"golang.org/x/sync/errgroup"
	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/archive/crypt"
	"github.com/caretaker-dev/caretaker/internal/archive/layout"
	"github.com/caretaker-dev/caretaker/internal/archiveapi"
	"github.com/caretaker-dev/caretaker/internal/objectstore"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

// CopyOptions of Copy.
type CopyOptions struct {
	From, To objectstore.Store
	// Backup to copy, with its parents. Empty: all backups that are complete and not marked by retention.
	Backup string
	// Keep narrows "all" to what a policy needs, so that what the second store's own retention has deleted does not come back. The
	// zero Policy narrows nothing.
	Keep Policy
	// WithoutLaterWAL leaves out the WAL after the newest backup's end.
	WithoutLaterWAL bool
	// Identities open what is encrypted, to check it. Without them only sizes, and what is outside of the encryption, are compared.
	Identities []age.Identity
	// CheckWAL says what is wrong with an object of WAL, or of a history; its error is a *DamagedError then. Nil: nothing is checked.
	CheckWAL func(name string, object []byte) error
	Workers  int

	Progress func(archiveapi.Progress)
	Clock    clock.WithTicker
}

// Copied says what Copy did.
type Copied struct {
	// Backups that the second store has now, of those that were to be copied.
	Backups []string `json:"backups"`
	// LastWAL is the newest segment that it has.
	LastWAL string `json:"lastWAL,omitempty"`
	Objects int64  `json:"objects"`
	Bytes   int64  `json:"bytes"`
	// Present objects were there already.
	Present int64 `json:"present"`
	// Sealed: there was no identity to open what is encrypted, so its content was not looked at.
	Sealed bool `json:"sealed,omitempty"`
	// Problems are why something was not copied, each naming its object. The rest was.
	Problems []string `json:"problems,omitempty"`
}

// DifferentError names an object that the second store has in another form.
type DifferentError struct{ Key string }

// Error says what to do.
func (e *DifferentError) Error() string {
	return fmt.Sprintf("object %s is another one in the second store, and nothing is overwritten there: find out which one is right, or copy to another place", e.Key)
}

// copying is one in progress.
type copying struct {
	CopyOptions

	meter *meter

	mu     sync.Mutex
	result Copied
	// isBroken: something of the backup that is being copied was not.
	isBroken bool
}

// Copy brings backups and their WAL to another store, which then stands alone: each object is checked before it is put there, nothing is
// overwritten or deleted, and a backup exists there only once all of it does, with the WAL that it needs. It can be interrupted and run
// again: what is there already is not copied again. An error means that it broke off; what cannot be copied is a problem of the result.
//
// The oldest backup goes first: the second store's retention deletes the WAL before its oldest backup, and must not meet one on its way.
func Copy(ctx context.Context, o CopyOptions) (*Copied, error) {
	c := &copying{CopyOptions: o, meter: newMeter(o.Clock, o.Progress)}
	if c.Workers <= 0 {
		c.Workers = DefaultWorkers
	}

	defer c.meter.run(ctx)()

	manifests, err := c.choose(ctx)
	if err != nil || len(manifests) == 0 {
		return &c.result, err
	}

	if err := CheckOwner(ctx, c.To, manifests[0].SystemIdentifier); err != nil {
		return nil, fmt.Errorf("the store to copy to: %w", err)
	}

	for _, m := range manifests {
		c.meter.total.Add(m.StoredBytes)
	}

	c.meter.enter(archiveapi.PhaseCopying)

	for _, m := range manifests {
		if err := c.backup(ctx, m); err != nil {
			return nil, fmt.Errorf("copy backup %s: %w", m.ID, err)
		}
	}

	if err := c.wal(ctx, manifests); err != nil {
		return nil, fmt.Errorf("copy the WAL: %w", err)
	}

	c.meter.enter(archiveapi.PhaseDone)
	slices.Sort(c.result.Problems)

	return &c.result, nil
}

// choose what to copy, parents before their children.
func (c *copying) choose(ctx context.Context) ([]*Manifest, error) {
	if c.Backup != "" {
		return lineage(ctx, c.From, c.Backup)
	}

	found, err := List(ctx, c.From)
	if err != nil {
		return nil, err
	}

	isKept := map[string]bool{}

	if c.Keep != (Policy{}) {
		for _, verdict := range Judge(found, c.Keep, c.Clock.Now()) {
			isKept[verdict.ID] = verdict.Keep
		}
	}

	var manifests []*Manifest

	for _, b := range found {
		switch {
		case b.Problem != "":
			c.problem(b.Problem)
		case b.Manifest != nil && b.Manifest.Kind == Snapshot:
			// Its files are not here, and will not be there.
		case b.Manifest == nil || b.Expired != nil || c.Keep != (Policy{}) && !isKept[b.ID]:
		default:
			manifests = append(manifests, b.Manifest)
		}
	}

	return manifests, nil
}

// backup copies what a backup needs of WAL, and all of its own but the manifest; and then that.
func (c *copying) backup(ctx context.Context, m *Manifest) error {
	_, err := c.To.Head(ctx, manifestKey(m.ID))
	if err == nil {
		c.meter.add(m.StoredBytes)
		c.present(manifestKey(m.ID))
		c.has(m.ID)

		return nil
	}

	if !errors.Is(err, objectstore.ErrNotFound) {
		return err
	}

	if m.Parent != "" && !slices.Contains(c.result.Backups, m.Parent) {
		c.problem(fmt.Sprintf("backup %s: its parent %s is not there", m.ID, m.Parent))

		return nil
	}

	c.isBroken = false
	if err := c.parts(ctx, m); err != nil || c.isBroken {
		return err
	}

	// Its WAL may have been deleted meanwhile, in either store.
	missing, err := MissingWAL(ctx, c.To, m)
	if err != nil {
		return err
	}

	if missing != nil {
		c.problem(missing.Error())

		return nil
	}

	info, err := c.From.Head(ctx, manifestKey(m.ID))
	if err == nil {
		err = c.object(ctx, info, func(body []byte) error { _, err := parseManifest(m.ID, body); return err })
	}

	if err == nil {
		c.has(m.ID)
	}

	return c.note(err)
}

// parts of a backup: its WAL, the histories that lead to it, and all objects of its folder but the manifest and the marks.
func (c *copying) parts(ctx context.Context, m *Manifest) error {
	l, err := c.open(ctx, m)
	if err != nil {
		return c.noteBroken(err)
	}

	history, err := m.TimelineHistory()
	if err != nil {
		return c.noteBroken(&DamagedError{Key: manifestKey(m.ID), Reason: err.Error()})
	}

	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(c.Workers)

	// What is not there is found by MissingWAL.
	for _, name := range segments(history, m.StartLSN, m.StopLSN, m.WALSegmentBytes) {
		group.Go(func() error { return c.segment(groupCtx, name) })
	}

	isPart := func(key string) bool { return key != manifestKey(m.ID) && key != expiredKey(m.ID) }

	err = c.histories(groupCtx, group)
	if err == nil {
		err = c.each(groupCtx, folder(m.ID), isPart, c.noteBroken, func(info objectstore.Info) {
			group.Go(func() error {
				defer c.meter.add(info.Size)

				return c.noteBroken(c.object(groupCtx, info, func(body []byte) error { return checkPart(m, l, info.Key, body) }))
			})
		})
	}

	// The second error may only say that the first one has ended it.
	return cmp.Or(group.Wait(), err)
}

// open a backup to check its packs with; nil if it is sealed.
func (c *copying) open(ctx context.Context, m *Manifest) (*link, error) {
	l, err := openLink(ctx, c.From, m, c.Identities)
	if errors.Is(err, crypt.ErrNoIdentity) {
		c.result.Sealed = true

		return nil, nil //nolint:nilnil // it is sealed
	}

	return l, err
}

// checkPart compares an object of a backup with its checksums.
func checkPart(m *Manifest, l *link, key string, body []byte) error {
	if key == indexKey(m.ID) {
		if int64(len(body)) != m.IndexBytes || sum(body) != m.IndexSum {
			return &DamagedError{Key: key, Reason: "its size or checksum is not what the manifest says"}
		}

		return nil
	}

	number, err := strconv.Atoi(strings.TrimPrefix(key, folder(m.ID)+"packs/"))
	if err != nil || l == nil || number < 1 || number > len(l.index.Packs) {
		return nil //nolint:nilerr // no pack, or one that the index does not know: nothing is known of it
	}

	_, err = l.checkPack(number, body)

	return err
}

// wal copies the segments from the oldest backup's start on, and what belongs to them.
func (c *copying) wal(ctx context.Context, manifests []*Manifest) error {
	if c.WithoutLaterWAL {
		return nil
	}

	segmentBytes := manifests[0].WALSegmentBytes
	from := manifests[0].StartLSN

	for _, m := range manifests {
		from = min(from, m.StartLSN)
	}

	first := postgres.SegmentAt(1, from, segmentBytes)
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(c.Workers)

	err := c.histories(groupCtx, group)
	if err == nil {
		err = c.each(groupCtx, layout.WALPrefix, func(key string) bool { return isSince(first, key, segmentBytes) }, c.note, c.copyWAL(groupCtx, group))
	}

	// The second error may only say that the first one has ended it.
	return cmp.Or(group.Wait(), err)
}

// isSince says whether a key is that of a segment from first on, or of what belongs to one.
func isSince(first postgres.WALSegment, key string, segmentBytes int64) bool {
	name, ok := layout.WALName(key)
	if !ok {
		return false
	}

	// Markers and partial segments begin with their segment's name.
	segment, _, _ := strings.Cut(name, ".")

	parsed, err := postgres.ParseWALName(segment, segmentBytes)

	return err == nil && parsed.Number >= first.Number
}

func (c *copying) histories(ctx context.Context, group *errgroup.Group) error {
	return c.each(ctx, layout.HistoryPrefix, func(key string) bool { _, ok := layout.WALName(key); return ok }, c.note, c.copyWAL(ctx, group))
}

func (c *copying) copyWAL(ctx context.Context, group *errgroup.Group) func(objectstore.Info) {
	return func(info objectstore.Info) {
		group.Go(func() error { return c.walObject(ctx, info) })
	}
}

// walObject copies a segment or a history, if it is still there: the first store's retention may have deleted it.
func (c *copying) walObject(ctx context.Context, info objectstore.Info) error {
	name, _ := layout.WALName(info.Key)

	err := c.object(ctx, info, c.checkWAL(name))
	if errors.Is(err, objectstore.ErrNotFound) {
		return nil
	}

	return c.note(err)
}

func (c *copying) checkWAL(name string) func([]byte) error {
	return func(body []byte) error {
		if c.CheckWAL == nil {
			return nil
		}

		return c.CheckWAL(name, body)
	}
}

// segment that a backup needs.
func (c *copying) segment(ctx context.Context, name string) error {
	key, err := layout.WAL(name)
	if err != nil {
		return err
	}

	if _, err := c.To.Head(ctx, key); !errors.Is(err, objectstore.ErrNotFound) {
		return err
	}

	info, err := c.From.Head(ctx, key)

	switch {
	case errors.Is(err, objectstore.ErrNotFound):
		return nil
	case err != nil:
		return err
	default:
		return c.walObject(ctx, info)
	}
}

// each copies the wanted objects below a prefix that the second store does not have, and notes those that it has in another form. Both
// stores list in the order of keys.
func (c *copying) each(
	ctx context.Context, prefix string, isWanted func(key string) bool, note func(error) error, copies func(objectstore.Info),
) error {
	next, stop := iter.Pull2(c.To.List(ctx, prefix, ""))
	defer stop()

	there, thereErr, isMore := next()

	for info, err := range c.From.List(ctx, prefix, "") {
		if err != nil {
			return err
		}

		for isMore && thereErr == nil && there.Key < info.Key {
			there, thereErr, isMore = next()
		}

		switch {
		case thereErr != nil:
			return fmt.Errorf("the store to copy to: %w", thereErr)
		case !isWanted(info.Key):
		case !isMore || there.Key != info.Key:
			copies(info)
		case there.Size != info.Size:
			_ = note(&DifferentError{Key: info.Key}) // it is kept
		default:
			c.present(info.Key)
		}
	}

	return nil
}

const maxObjectBytes = 2 << 30

// object copies one object, if it is as it should be.
func (c *copying) object(ctx context.Context, info objectstore.Info, check func([]byte) error) error {
	body, err := objectstore.Get(ctx, c.From, info.Key, maxObjectBytes)
	if err != nil {
		return err
	}

	if int64(len(body)) != info.Size {
		return fmt.Errorf("%s has %d bytes, and %d were announced", info.Key, len(body), info.Size)
	}

	if err := check(body); err != nil {
		return err
	}

	err = c.To.PutIfAbsent(ctx, info.Key, body)
	if errors.Is(err, objectstore.ErrExists) {
		return c.compare(ctx, info, body)
	}

	if err != nil {
		return fmt.Errorf("the store to copy to: %w", err)
	}

	c.mu.Lock()
	defer c.mu.Unlock()

	c.result.Objects++
	c.result.Bytes += info.Size
	c.reached(info.Key)

	return nil
}

// compare what somebody else has put meanwhile.
func (c *copying) compare(ctx context.Context, info objectstore.Info, body []byte) error {
	have, err := objectstore.Get(ctx, c.To, info.Key, maxObjectBytes)
	if err != nil {
		return fmt.Errorf("the store to copy to: %w", err)
	}

	if !bytes.Equal(have, body) {
		return &DifferentError{Key: info.Key}
	}

	c.present(info.Key)

	return nil
}

// noteBroken is note for what a backup cannot be without. What it lacks of WAL is found otherwise.
func (c *copying) noteBroken(err error) error {
	if err != nil {
		c.mu.Lock()
		c.isBroken = true
		c.mu.Unlock()
	}

	return c.note(err)
}

// note keeps an error that says what is wrong with an object, and gives back one that may go away by itself.
func (c *copying) note(err error) error {
	var (
		damaged   *DamagedError
		different *DifferentError
	)

	if !errors.As(err, &damaged) && !errors.As(err, &different) && !errors.Is(err, objectstore.ErrNotFound) {
		return err
	}

	c.problem(err.Error())

	return nil
}

func (c *copying) problem(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()

	if !slices.Contains(c.result.Problems, text) {
		c.result.Problems = append(c.result.Problems, text)
	}
}

func (c *copying) present(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()

	c.result.Present++
	c.reached(key)
}

// reached an object that is in the second store; the lock is held.
func (c *copying) reached(key string) {
	if name, ok := layout.WALName(key); ok && postgres.IsWALName(name) {
		c.result.LastWAL = max(c.result.LastWAL, name)
	}
}

func (c *copying) has(id string) { c.result.Backups = append(c.result.Backups, id) }
