package instance

import (
	"context"
	"errors"
	"sync"
	"time"

	"k8s.io/utils/clock"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/instance/term"
)

const (
	// eagerInterval is how often an instance that waits for the record asks for it.
	eagerInterval = 300 * time.Millisecond
	// termTimeout bounds a call to the API.
	termTimeout = 5 * time.Second
)

// termWatch reads the term record beside the main loop, so that an API that does not answer does not stop it.
type termWatch struct {
	store term.Store
	clock clock.Clock
	// wake is called when what is known has changed.
	wake func()

	mu     sync.Mutex
	record term.Record
	known  bool
	err    error
	// passive: another reads the record and brings it in.
	passive bool
}

func (w *termWatch) run(ctx context.Context) {
	for ctx.Err() == nil {
		if !w.isPassive() {
			w.refresh(ctx)
		}

		select {
		case <-w.clock.After(eagerInterval):
		case <-ctx.Done():
		}
	}
}

func (w *termWatch) refresh(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, termTimeout)
	defer cancel()

	record, err := w.store.Get(ctx)
	w.take(record, err)
}

func (w *termWatch) take(record term.Record, err error) {
	w.mu.Lock()
	changed := (err == nil) != (w.err == nil) || err == nil && (!w.known || record.Version != w.record.Version)

	w.err = err
	if err == nil {
		w.record, w.known = record, true
	}
	w.mu.Unlock()

	if changed {
		w.wake()
	}
}

func (w *termWatch) isPassive() bool {
	w.mu.Lock()
	defer w.mu.Unlock()

	return w.passive
}

func (w *termWatch) setPassive() {
	w.mu.Lock()
	defer w.mu.Unlock()

	w.passive = true
}

// facts are what is known. Once read, a record stays known through an outage of the API: terms change only by
// compare-and-swap, and what this process may do was proved when it was read.
func (w *termWatch) facts() RecordFacts {
	w.mu.Lock()
	defer w.mu.Unlock()

	return RecordFacts{
		Error: w.err, Missing: errors.Is(w.err, term.ErrMissing),
		Known: w.known && !errors.Is(w.err, term.ErrMissing), Spec: *w.record.Spec.DeepCopy(),
	}
}

// swap reads the record live, lets change make the new spec, and writes it by compare-and-swap. change returns false
// to leave the record as it is.
func (w *termWatch) swap(ctx context.Context, change func(*postgresqlv1.ClusterTermSpec) bool) error {
	ctx, cancel := context.WithTimeout(ctx, 2*termTimeout)
	defer cancel()

	record, err := w.store.Get(ctx)
	if err != nil {
		w.take(term.Record{}, err)

		return err
	}

	spec := record.Spec.DeepCopy()
	if !change(spec) {
		w.take(record, nil)

		return nil
	}

	written, err := w.store.CompareAndSwap(ctx, record.Version, *spec)
	if err != nil {
		return err
	}

	w.take(written, nil)

	return nil
}
