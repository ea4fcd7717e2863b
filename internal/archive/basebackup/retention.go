package basebackup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/archive/layout"
	"github.com/caretaker-dev/caretaker/internal/objectstore"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

// Policy says what must be kept. One of its fields is set.
type Policy struct {
	// Window: recovery to any moment of so long ago must be possible.
	Window time.Duration
	// Count of full backups, with the incremental ones since.
	Count int
}

const day = 24 * time.Hour

// ParsePolicy reads "30d", "4w", "6m" (months of 30 days), or a count of full backups, "7".
func ParsePolicy(text string) (Policy, error) {
	units := map[byte]time.Duration{'d': day, 'w': 7 * day, 'm': 30 * day}

	if text != "" {
		if unit, ok := units[text[len(text)-1]]; ok {
			if n, err := strconv.ParseUint(text[:len(text)-1], 10, 16); err == nil && n > 0 {
				return Policy{Window: time.Duration(n) * unit}, nil
			}
		} else if n, err := strconv.ParseUint(text, 10, 16); err == nil && n > 0 {
			return Policy{Count: int(n)}, nil
		}
	}

	return Policy{}, fmt.Errorf("retention %q: want days, weeks or months like 30d, 4w or 6m, or a number of full backups", text)
}

// Verdict on a backup.
type Verdict struct {
	ID string `json:"id"`
	// Keep it; otherwise it is marked, or deleted if it has been marked long enough.
	Keep   bool   `json:"keep"`
	Reason string `json:"reason"`
}

// Judge says which backups a policy needs. It never gives up the newest backup, nor what a backup that is kept counts on. Those whose
// files are in snapshots are judged by themselves: the store outlives a Kubernetes cluster, and its backups stand without them.
func Judge(backups []Backup, policy Policy, now time.Time) []Verdict {
	reasons := map[string]string{}
	parents := map[string]string{}

	var complete []*Manifest

	for _, b := range backups {
		parents[b.ID] = b.Parent
		if b.Manifest != nil {
			complete = append(complete, b.Manifest)
		}
	}

	slices.SortFunc(complete, func(a, b *Manifest) int { return a.Stopped.Compare(b.Stopped) })

	isSnapshot := func(m *Manifest) bool { return m.Kind == Snapshot }
	isStored := func(m *Manifest) bool { return m.Kind != Snapshot }

	policy.apply(slices.DeleteFunc(slices.Clone(complete), isSnapshot), now, reasons)
	policy.apply(slices.DeleteFunc(slices.Clone(complete), isStored), now, reasons)

	for _, b := range backups {
		if b.Manifest == nil && b.Expired == nil && b.Parent != "" {
			keepLine(reasons, parents, b.Parent, "the parent of "+b.ID+", which is being taken")
		}

		if _, isKept := reasons[b.ID]; isKept {
			keepLine(reasons, parents, b.Parent, "a parent of "+b.ID)
		}
	}

	var verdicts []Verdict

	for _, m := range complete {
		if reason, isKept := reasons[m.ID]; isKept {
			verdicts = append(verdicts, Verdict{ID: m.ID, Keep: true, Reason: reason})
		} else {
			verdicts = append(verdicts, Verdict{ID: m.ID, Reason: "no longer needed: " + policy.String()})
		}
	}

	return verdicts
}

// keepLine keeps a backup and its parents.
func keepLine(reasons, parents map[string]string, id, reason string) {
	for ; id != ""; id = parents[id] {
		if _, isKept := reasons[id]; !isKept {
			reasons[id] = reason
		}
	}
}

// String is the policy in words.
func (p Policy) String() string {
	if p.Count > 0 {
		return fmt.Sprintf("the newest %d full backups are kept", p.Count)
	}

	return fmt.Sprintf("recovery to any moment of the last %d days is kept possible", int(p.Window/day))
}

// apply finds what the policy itself keeps; complete is sorted by when backups ended.
func (p Policy) apply(complete []*Manifest, now time.Time, reasons map[string]string) {
	if len(complete) == 0 {
		return
	}

	newest := complete[len(complete)-1]
	reasons[newest.ID] = "the newest backup"

	if p.Count > 0 {
		p.applyCount(complete, reasons)

		return
	}

	begin := now.Add(-p.Window)
	base := ""

	for _, m := range complete {
		if m.Stopped.After(begin) {
			reasons[m.ID] = "within the window"
		} else {
			base = m.ID
		}
	}

	// Recovery to the window's first moment begins with the newest backup before it.
	if base != "" {
		if _, isKept := reasons[base]; !isKept {
			reasons[base] = "the newest backup before the window: recovery to its first moments begins here"
		}
	}
}

func (p Policy) applyCount(complete []*Manifest, reasons map[string]string) {
	full := 0

	for i := len(complete) - 1; i >= 0 && full < p.Count; i-- {
		if complete[i].Kind != Incremental {
			full++
		}

		if _, isKept := reasons[complete[i].ID]; !isKept {
			reasons[complete[i].ID] = p.String()
		}
	}
}

// ExpireOptions of Expire.
type ExpireOptions struct {
	Store  objectstore.Store
	Policy Policy
	// Grace between marking a backup and deleting it, and before the traces of an interrupted one are swept.
	Grace time.Duration
	// DryRun changes nothing.
	DryRun bool
	Clock  clock.WithTicker
}

// DefaultGrace gives a person a day to notice.
const DefaultGrace = 24 * time.Hour

// Expiry is what Expire did, or would do.
type Expiry struct {
	Verdicts []Verdict `json:"verdicts"`
	// Marked now; Deleted, after they had been marked for the grace time; Swept are traces of interrupted backups.
	Marked   []string `json:"marked,omitempty"`
	Deleted  []string `json:"deleted,omitempty"`
	Unmarked []string `json:"unmarked,omitempty"`
	Swept    []string `json:"swept,omitempty"`
	// Left are the complete backups that are left, the marked ones too, oldest first.
	Left []string `json:"left"`
	// WALDeleted segments, all those before FirstWAL.
	WALDeleted int    `json:"walDeleted"`
	FirstWAL   string `json:"firstWAL,omitempty"`
}

// expiry is one in progress.
type expiry struct {
	ExpireOptions

	result Expiry
}

// Expire marks what the policy does not need, deletes what was marked for longer than the grace time, sweeps what interrupted backups left,
// and deletes the WAL that no backup needs. It can be interrupted at any point, and run again.
func Expire(ctx context.Context, o ExpireOptions) (*Expiry, error) {
	e := &expiry{ExpireOptions: o}

	backups, err := List(ctx, e.Store)
	if err != nil {
		return nil, err
	}

	for _, b := range backups {
		if b.Problem != "" {
			return nil, fmt.Errorf("nothing is deleted while a manifest is damaged: %s", b.Problem)
		}
	}

	now := e.Clock.Now()
	e.result.Verdicts = Judge(backups, e.Policy, now)

	deleted, err := e.backups(ctx, backups, now)
	if err != nil {
		return nil, err
	}

	left := slices.DeleteFunc(slices.Clone(backups), func(b Backup) bool { return b.Manifest == nil || deleted[b.ID] })
	for _, b := range left {
		e.result.Left = append(e.result.Left, b.ID)
	}

	if err := e.wal(ctx, left); err != nil {
		return nil, err
	}

	return &e.result, nil
}

// backups acts on each backup. Children go before their parents, so that what is left can always be restored.
func (e *expiry) backups(ctx context.Context, backups []Backup, now time.Time) (map[string]bool, error) {
	keep := map[string]string{}
	drop := map[string]string{}

	for _, v := range e.result.Verdicts {
		if v.Keep {
			keep[v.ID] = v.Reason
		} else {
			drop[v.ID] = v.Reason
		}
	}

	deleted := map[string]bool{}

	for _, b := range slices.Backward(backups) {
		var err error

		_, isKept := keep[b.ID]
		reason, isDropped := drop[b.ID]

		switch {
		case b.Manifest == nil:
			err = e.sweep(ctx, b, now)
		case isKept && b.Expired != nil:
			e.result.Unmarked = append(e.result.Unmarked, b.ID)
			err = e.remove(ctx, expiredKey(b.ID))
		case isDropped && b.Expired == nil:
			e.result.Marked = append(e.result.Marked, b.ID)
			err = e.mark(ctx, b.ID, reason, now)
		case isDropped && now.Sub(*b.Expired) >= e.Grace:
			deleted[b.ID] = true
			e.result.Deleted = append(e.result.Deleted, b.ID)
			err = e.delete(ctx, b.ID)
		}

		if err != nil {
			return nil, fmt.Errorf("backup %s: %w", b.ID, err)
		}
	}

	return deleted, nil
}

func (e *expiry) remove(ctx context.Context, key string) error {
	if e.DryRun {
		return nil
	}

	return e.Store.Delete(ctx, key)
}

func (e *expiry) mark(ctx context.Context, id, reason string, now time.Time) error {
	if e.DryRun {
		return nil
	}

	body, err := json.Marshal(expired{At: now.UTC(), Reason: reason})
	if err != nil {
		return fmt.Errorf("encode the mark: %w", err)
	}

	return e.Store.Put(ctx, expiredKey(id), body)
}

// delete removes the manifest first: from then on it is no backup any more, and what is left is swept if this is interrupted.
func (e *expiry) delete(ctx context.Context, id string) error {
	if e.DryRun {
		return nil
	}

	return Delete(ctx, e.Store, id)
}

// Delete removes a backup, whatever counts on it.
func Delete(ctx context.Context, store objectstore.Store, id string) error {
	if err := store.Delete(ctx, manifestKey(id)); err != nil {
		return err
	}

	var marks []string

	for info, err := range store.List(ctx, folder(id), "") {
		if err != nil {
			return err
		}

		if info.Key == startedKey(id) || info.Key == expiredKey(id) {
			marks = append(marks, info.Key)

			continue
		}

		if err := store.Delete(ctx, info.Key); err != nil {
			return err
		}
	}

	for _, key := range marks {
		if err := store.Delete(ctx, key); err != nil {
			return err
		}
	}

	return nil
}

// sweep deletes what an interrupted backup left, once nothing of it has been written for the grace time: a backup that is being
// taken writes a pack every few seconds or minutes.
func (e *expiry) sweep(ctx context.Context, b Backup, now time.Time) error {
	newest := b.Started

	for info, err := range e.Store.List(ctx, folder(b.ID), "") {
		if err != nil {
			return err
		}

		if info.Modified.After(newest) {
			newest = info.Modified
		}
	}

	if now.Sub(newest) < e.Grace {
		return nil
	}

	// It may have been finished since the catalogue was read.
	_, err := e.Store.Head(ctx, manifestKey(b.ID))
	if !errors.Is(err, objectstore.ErrNotFound) {
		return err
	}

	e.result.Swept = append(e.result.Swept, b.ID)

	return e.delete(ctx, b.ID)
}

// wal deletes the segments that lie before every backup's start. Without a backup nothing is deleted: the next one may be on its way.
func (e *expiry) wal(ctx context.Context, backups []Backup) error {
	if len(backups) == 0 {
		return nil
	}

	bytes := backups[0].Manifest.WALSegmentBytes
	first := backups[0].Manifest.StartLSN

	for _, b := range backups {
		if b.Manifest.WALSegmentBytes != bytes {
			return nil
		}

		first = min(first, b.Manifest.StartLSN)
	}

	from := postgres.SegmentAt(1, first, bytes)
	e.result.FirstWAL = from.Name(bytes)

	for info, err := range e.Store.List(ctx, layout.WALPrefix, "") {
		if err != nil {
			return fmt.Errorf("list the WAL: %w", err)
		}

		name, ok := layout.WALName(info.Key)
		if !ok {
			continue
		}

		// Markers and partial segments begin with their segment's name.
		segment, _, _ := strings.Cut(name, ".")

		parsed, err := postgres.ParseWALName(segment, bytes)
		if err != nil || parsed.Number >= from.Number {
			continue
		}

		e.result.WALDeleted++

		if err := e.remove(ctx, info.Key); err != nil {
			return fmt.Errorf("delete WAL %s: %w", name, err)
		}
	}

	return nil
}
