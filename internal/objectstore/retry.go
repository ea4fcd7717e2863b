package objectstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"time"

	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/storeconfig"
)

// retrying gives a driver retries, deadlines by progress, and reads that are resumed.
//
// Retried is every error but the store's own word (not found, exists, denied, full, invalid) and the caller's own end.
type retrying struct {
	driver   Store
	timeouts storeconfig.Timeouts
	clock    clock.Clock
}

// WithRetries gives a store retries after the rules of timeouts. Open's stores have them already.
func WithRetries(driver Store, timeouts storeconfig.Timeouts) Store {
	return &retrying{driver: driver, timeouts: timeouts.WithDefaults(), clock: clock.RealClock{}}
}

// isFinal says whether trying again cannot help.
func isFinal(ctx context.Context, err error) bool {
	if ctx.Err() != nil {
		return true
	}

	for _, final := range []error{ErrNotFound, ErrNoBucket, ErrExists, ErrDenied, ErrFull, ErrInvalid} {
		if errors.Is(err, final) {
			return true
		}
	}

	return false
}

// backoff before attempt n (the second is 1): doubling, and drawn at random from its upper half.
func (r *retrying) backoff(n int) time.Duration {
	full := min(r.timeouts.Backoff<<min(n-1, 20), r.timeouts.MaxBackoff)
	if full <= 1 {
		return full
	}

	return full/2 + rand.N(full/2) //nolint:gosec // spreads retries; nothing secret
}

func (r *retrying) wait(ctx context.Context, n int) error {
	timer := r.clock.NewTimer(r.backoff(n))
	defer timer.Stop()

	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C():
		return nil
	}
}

// try makes attempts until one is final. attempt is told its number, from 0.
func (r *retrying) try(ctx context.Context, attempt func(ctx context.Context, n int) error) error {
	for n := 0; ; n++ {
		attemptCtx, guard := withStallGuard(ctx, r.timeouts.Stall)
		err := cause(attemptCtx, attempt(attemptCtx, n))
		guard.stop()

		if err == nil || isFinal(ctx, err) {
			return err
		}

		if n+1 >= r.timeouts.Attempts {
			return fmt.Errorf("gave up after %d attempts: %w", n+1, err)
		}

		if waitErr := r.wait(ctx, n+1); waitErr != nil {
			return errors.Join(waitErr, err)
		}
	}
}

func (r *retrying) Put(ctx context.Context, key string, data []byte) error {
	if err := storeconfig.CheckKey(key); err != nil {
		return err
	}

	return r.try(ctx, func(ctx context.Context, _ int) error { return r.driver.Put(ctx, key, data) })
}

func (r *retrying) PutIfAbsent(ctx context.Context, key string, data []byte) error {
	if err := storeconfig.CheckKey(key); err != nil {
		return err
	}

	isRepeated := false
	err := r.try(ctx, func(ctx context.Context, n int) error {
		isRepeated = n > 0

		return r.driver.PutIfAbsent(ctx, key, data)
	})

	// What is there may be what an attempt of ours wrote whose answer was lost.
	if isRepeated && errors.Is(err, ErrExists) {
		there, readErr := Get(ctx, r, key, int64(len(data)))
		if readErr == nil && bytes.Equal(there, data) {
			return nil
		}
	}

	return err
}

func (r *retrying) Head(ctx context.Context, key string) (info Info, err error) {
	if err := storeconfig.CheckKey(key); err != nil {
		return Info{}, err
	}

	err = r.try(ctx, func(ctx context.Context, _ int) error {
		info, err = r.driver.Head(ctx, key)

		return err
	})

	return info, err
}

func (r *retrying) Delete(ctx context.Context, key string) error {
	if err := storeconfig.CheckKey(key); err != nil {
		return err
	}

	return r.try(ctx, func(ctx context.Context, _ int) error { return r.driver.Delete(ctx, key) })
}

// List goes on behind the last key that it had after a failure.
func (r *retrying) List(ctx context.Context, prefix, startAfter string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		failures := 0

		for {
			err := r.listFrom(ctx, prefix, &startAfter, func(info Info) bool {
				failures = 0

				return yield(info, nil)
			})
			if err == nil {
				return
			}

			failures++

			if !isFinal(ctx, err) && failures < r.timeouts.Attempts && r.wait(ctx, failures) == nil {
				continue
			}

			yield(Info{}, err)

			return
		}
	}
}

func (r *retrying) listFrom(ctx context.Context, prefix string, startAfter *string, yield func(Info) bool) error {
	ctx, guard := withStallGuard(ctx, r.timeouts.Stall)
	defer guard.stop()

	for info, err := range r.driver.List(ctx, prefix, *startAfter) {
		if err != nil {
			return cause(ctx, err)
		}

		guard.pause()

		*startAfter = info.Key

		if !yield(info) {
			return nil
		}

		guard.resume()
	}

	return nil
}

func (r *retrying) GetRange(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	if err := storeconfig.CheckKey(key); err != nil {
		return nil, err
	}

	reader := &resumingReader{ctx: ctx, store: r, key: key, offset: offset, rest: length}
	if err := reader.open(); err != nil { //nolint:contextcheck // the reader has it
		return nil, err
	}

	return reader, nil
}

// resumingReader opens the rest of an object again when the connection breaks. Objects are written once and never
// changed under readers, so that the parts fit; what is stored has checksums besides.
type resumingReader struct {
	ctx    context.Context //nolint:containedctx // the reader's life is the request's
	store  *retrying
	key    string
	offset int64
	rest   int64 // < 0: to the end

	body     io.ReadCloser
	guard    *stallGuard
	guardCtx context.Context //nolint:containedctx // to ask for the cause
	failures int
}

// open requests what is still to be read.
func (r *resumingReader) open() error {
	for {
		ctx, guard := withStallGuard(r.ctx, r.store.timeouts.Stall)

		reader, err := r.store.driver.GetRange(ctx, r.key, r.offset, r.rest)
		if err == nil {
			guard.pause()
			r.body, r.guard, r.guardCtx = reader, guard, ctx

			return nil
		}

		err = cause(ctx, err)
		guard.stop()

		if err := r.retry(err); err != nil {
			return err
		}
	}
}

// retry waits, if there is another attempt after this error.
func (r *resumingReader) retry(err error) error {
	if isFinal(r.ctx, err) {
		return err
	}

	r.failures++
	if r.failures >= r.store.timeouts.Attempts {
		return fmt.Errorf("gave up after %d attempts: %w", r.failures, err)
	}

	if waitErr := r.store.wait(r.ctx, r.failures); waitErr != nil {
		return errors.Join(waitErr, err)
	}

	return nil
}

func (r *resumingReader) Read(p []byte) (int, error) {
	for {
		if r.rest == 0 {
			return 0, io.EOF
		}

		if r.body == nil {
			if err := r.open(); err != nil {
				return 0, err
			}
		}

		r.guard.resume()
		n, err := r.body.Read(p)
		r.guard.pause()

		if n > 0 {
			r.offset += int64(n)
			r.failures = 0

			if r.rest > 0 {
				r.rest = max(0, r.rest-int64(n))
			}

			return n, nil
		}

		if err == nil {
			continue
		}

		if errors.Is(err, io.EOF) {
			return 0, io.EOF
		}

		err = cause(r.guardCtx, err)
		_ = r.Close() // broken anyway

		if err := r.retry(err); err != nil {
			return 0, fmt.Errorf("read %s: %w", r.key, err)
		}
	}
}

func (r *resumingReader) Close() error {
	if r.body == nil {
		return nil
	}

	err := r.body.Close()
	r.guard.stop()
	r.body = nil

	return err
}
