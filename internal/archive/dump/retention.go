package dump

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/caretaker-dev/caretaker/internal/archive/basebackup"
	"github.com/caretaker-dev/caretaker/internal/objectstore"
)

// sweepAfter is how long chunks without a manifest may belong to a dump that is being taken: twice as long as a Job may run.
const sweepAfter = 48 * time.Hour

// Expiry is what Expire did.
type Expiry struct {
	// Kept are the dumps of the name that are left, Deleted those that went, the oldest first.
	Kept    []string `json:"kept"`
	Deleted []string `json:"deleted"`
	// Swept are the traces of dumps that were interrupted.
	Swept []string `json:"swept,omitempty"`
}

// expired says which dumps a policy lets go: by their age, or all but so many. The newest never goes. It is pure.
func expired(dumps []*Manifest, policy basebackup.Policy, now time.Time) []*Manifest {
	sorted := slices.SortedFunc(slices.Values(dumps), func(a, b *Manifest) int { return b.Completed.Compare(a.Completed) })

	var out []*Manifest

	for i, m := range sorted {
		isKept := i == 0 || i < policy.Count || policy.Count == 0 && m.Completed.After(now.Add(-policy.Window))
		if !isKept {
			out = append(out, m)
		}
	}

	slices.Reverse(out)

	return out
}

// Expire deletes the dumps of a name that its policy, such as 30d or 7, lets go, and sweeps what interrupted dumps left. An empty policy
// lets none go. It can be interrupted at any point, and run again: a dump's manifest goes first, and its chunks are then swept in time.
func Expire(ctx context.Context, store objectstore.Store, name, policy string, now time.Time) (*Expiry, error) {
	ids, err := IDs(ctx, store)
	if err != nil {
		return nil, err
	}

	var dumps []*Manifest

	for _, id := range ids {
		m, err := Load(ctx, store, id)
		if err != nil {
			return nil, err
		}

		if m.Name == name {
			dumps = append(dumps, m)
		}
	}

	var gone []*Manifest

	if policy != "" {
		parsed, err := basebackup.ParsePolicy(policy)
		if err != nil {
			return nil, err
		}

		gone = expired(dumps, parsed, now)
	}

	done := &Expiry{}

	for _, m := range gone {
		if err := Delete(ctx, store, m.ID); err != nil {
			return done, err
		}

		done.Deleted = append(done.Deleted, m.ID)
	}

	for _, m := range dumps {
		if !slices.Contains(gone, m) {
			done.Kept = append(done.Kept, m.ID)
		}
	}

	return done, done.sweep(ctx, store, ids, now)
}

func (e *Expiry) sweep(ctx context.Context, store objectstore.Store, complete []string, now time.Time) error {
	for id, err := range started(ctx, store) {
		if err != nil {
			return err
		}

		at, isOurs := began(id)
		if !isOurs || slices.Contains(complete, id) || now.Sub(at) < sweepAfter {
			continue
		}

		if err := removeData(ctx, store, id); err != nil {
			return err
		}

		e.Swept = append(e.Swept, id)
	}

	return nil
}

// Delete removes a dump: from when it begins, the dump does not exist.
func Delete(ctx context.Context, store objectstore.Store, id string) error {
	if err := store.Delete(ctx, manifestKey(id)); err != nil {
		return fmt.Errorf("delete the manifest of dump %s: %w", id, err)
	}

	return removeData(ctx, store, id)
}

func removeData(ctx context.Context, store objectstore.Store, id string) error {
	var keys []string

	for info, err := range store.List(ctx, dataPrefix+id+"/", "") {
		if err != nil {
			return fmt.Errorf("list the chunks of dump %s: %w", id, err)
		}

		keys = append(keys, info.Key)
	}

	for _, key := range keys {
		if err := store.Delete(ctx, key); err != nil {
			return fmt.Errorf("delete %s: %w", key, err)
		}
	}

	return nil
}
