package harunner

import (
	"context"
	"sync"

	"github.com/caretaker-dev/caretaker/internal/ha"
	"github.com/caretaker-dev/caretaker/internal/instance/term"
)

// recordKeeper is the term record as the protocol wants it. A record of term 0, which the operator makes where one is
// missing, is none to the protocol; it is written over instead of created.
type recordKeeper struct {
	store term.Store

	mu          sync.Mutex
	placeholder string
	bootstrap   string
}

type readRecord struct {
	term.Record
	known *ha.Record
}

func (k *recordKeeper) get(ctx context.Context) (readRecord, error) {
	record, err := k.store.Get(ctx)
	if err != nil {
		return readRecord{}, err
	}

	k.mu.Lock()
	defer k.mu.Unlock()

	k.bootstrap, k.placeholder = record.Spec.Bootstrap, ""
	if record.Spec.Term == 0 {
		k.placeholder = record.Version

		return readRecord{Record: record}, nil
	}

	known, err := ToRecord(record.Spec)

	return readRecord{Record: record, known: known}, err
}

func (k *recordKeeper) swap(ctx context.Context, version string, r *ha.Record) (term.Record, error) {
	k.mu.Lock()
	bootstrap := k.bootstrap

	if version == "" {
		version = k.placeholder
	}
	k.mu.Unlock()

	if version == "" {
		return term.Record{}, term.ErrMissing
	}

	return k.store.CompareAndSwap(ctx, version, FromRecord(r, bootstrap))
}
