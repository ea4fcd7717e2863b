package objectstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// errStalled ends an attempt in which no byte moved.
var errStalled = errors.New("the connection stalled")

// stallGuard cancels an attempt's context when nothing has moved for a while. It is carried in the context, so that the
// body that a driver sends can report that it moves.
type stallGuard struct {
	patience time.Duration
	timer    *time.Timer
	cancel   context.CancelCauseFunc

	mu       sync.Mutex
	isPaused bool
}

type stallKey struct{}

// withStallGuard gives a context that ends when nothing has moved for patience. The caller calls stop.
func withStallGuard(ctx context.Context, patience time.Duration) (context.Context, *stallGuard) {
	ctx, cancel := context.WithCancelCause(ctx)
	guard := &stallGuard{patience: patience, cancel: cancel}
	guard.timer = time.AfterFunc(patience, func() {
		cancel(fmt.Errorf("%w: no byte moved for %s", errStalled, patience))
	})

	return context.WithValue(ctx, stallKey{}, guard), guard
}

// touch says that something moved.
func (g *stallGuard) touch() {
	g.mu.Lock()
	defer g.mu.Unlock()

	if !g.isPaused {
		g.timer.Reset(g.patience)
	}
}

// pause stops the clock while nobody reads: a slow reader is no stalled connection.
func (g *stallGuard) pause() {
	g.mu.Lock()
	defer g.mu.Unlock()

	g.isPaused = true
	g.timer.Stop()
}

func (g *stallGuard) resume() {
	g.mu.Lock()
	defer g.mu.Unlock()

	g.isPaused = false
	g.timer.Reset(g.patience)
}

func (g *stallGuard) stop() {
	g.pause()
	g.cancel(nil)
}

// cause gives an attempt's error with the stall that caused it, if one did: SDKs say "context canceled" only.
func cause(ctx context.Context, err error) error {
	if stalled := context.Cause(ctx); err != nil && errors.Is(stalled, errStalled) {
		return stalled
	}

	return err
}

// body is what drivers send: it tells the guard of its context when it is read.
type body struct {
	*sliceReader
	guard *stallGuard
}

// newBody of an upload.
func newBody(ctx context.Context, data []byte) *body {
	guard, _ := ctx.Value(stallKey{}).(*stallGuard)

	return &body{sliceReader: &sliceReader{data: data}, guard: guard}
}

func (b *body) Read(p []byte) (int, error) {
	if b.guard != nil {
		b.guard.touch()
	}

	return b.sliceReader.Read(p)
}

// Close does nothing: SDKs close what they send, and then send it again.
func (*body) Close() error { return nil }

// sliceReader is bytes.Reader without WriteTo, so that all that is read passes through Read.
type sliceReader struct {
	data   []byte
	offset int64
}

func (r *sliceReader) Read(p []byte) (int, error) {
	if r.offset >= int64(len(r.data)) {
		return 0, io.EOF
	}

	n := copy(p, r.data[r.offset:])
	r.offset += int64(n)

	return n, nil
}

func (r *sliceReader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.offset
	case io.SeekEnd:
		offset += int64(len(r.data))
	default:
	}

	if offset < 0 {
		return 0, errors.New("seek before the start")
	}

	r.offset = offset

	return offset, nil
}
