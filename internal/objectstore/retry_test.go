package objectstore

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caretaker-dev/caretaker/internal/storeconfig"
)

// flaky is a driver whose attempts go as its script says.
type flaky struct {
	content []byte
	// gets[i] is what attempt i at GetRange does: the number of bytes after which the connection breaks; -1: it stalls.
	gets []int
	n    int
	// put outcomes.
	puts      []error
	isApplied bool
}

var errBroken = errors.New("connection reset")

func (f *flaky) Put(context.Context, string, []byte) error { return nil }

func (f *flaky) PutIfAbsent(_ context.Context, _ string, body []byte) error {
	err := f.puts[0]
	f.puts = f.puts[1:]

	if f.isApplied {
		f.content = bytes.Clone(body)
	}

	return err
}

func (f *flaky) GetRange(ctx context.Context, _ string, offset, length int64) (io.ReadCloser, error) {
	rest := f.content[offset:]
	if length >= 0 {
		rest = rest[:min(int64(len(rest)), length)]
	}

	if f.n >= len(f.gets) {
		return io.NopCloser(bytes.NewReader(rest)), nil
	}

	limit := f.gets[f.n]
	f.n++

	if limit < 0 {
		return io.NopCloser(stalled{ctx}), nil
	}

	return io.NopCloser(io.MultiReader(bytes.NewReader(rest[:min(limit, len(rest))]), broken{})), nil
}

func (f *flaky) Head(context.Context, string) (Info, error)                  { return Info{}, errBroken }
func (f *flaky) List(context.Context, string, string) iter.Seq2[Info, error] { return nil }
func (f *flaky) Delete(context.Context, string) error                        { return ErrDenied }

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errBroken }

type stalled struct{ ctx context.Context } //nolint:containedctx // a reader's life is its request's

func (s stalled) Read([]byte) (int, error) {
	<-s.ctx.Done()

	return 0, s.ctx.Err()
}

func TestReadsAreResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		content := []byte(strings.Repeat("abcdefghij", 100))
		driver := &flaky{content: content, gets: []int{10, 0, -1, 500, -1}}
		store := WithRetries(driver, storeconfig.Timeouts{})

		got, err := Get(t.Context(), store, "a", 10_000)
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("%d bytes, %v", len(got), err)
		}

		if driver.n != len(driver.gets) {
			t.Errorf("%d attempts, want %d", driver.n, len(driver.gets))
		}

		driver.n, driver.gets = 0, []int{0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
		if _, err := Get(t.Context(), store, "a", 10_000); !errors.Is(err, errBroken) {
			t.Errorf("a connection that always breaks: %v", err)
		}
	})
}

func TestASlowReaderIsNoStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := WithRetries(&flaky{content: []byte("abc")}, storeconfig.Timeouts{Stall: time.Second})

		reader, err := store.GetRange(t.Context(), "a", 0, -1)
		if err != nil {
			t.Fatal(err)
		}

		time.Sleep(time.Hour)

		if got, err := io.ReadAll(reader); err != nil || string(got) != "abc" {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// The first attempt was applied but its answer lost: the second hears "exists", and it is our own.
func TestALostAnswerIsNoConflict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		driver := &flaky{puts: []error{errBroken, ErrExists}, isApplied: true}
		if err := WithRetries(driver, storeconfig.Timeouts{}).PutIfAbsent(t.Context(), "a", []byte("mine")); err != nil {
			t.Errorf("our own object: %v", err)
		}

		driver = &flaky{puts: []error{errBroken, ErrExists}, content: []byte("another's")}
		if err := WithRetries(driver, storeconfig.Timeouts{}).PutIfAbsent(t.Context(), "a", []byte("mine")); !errors.Is(err, ErrExists) {
			t.Errorf("another's object: %v", err)
		}
	})
}

func TestRefusalsAreNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := WithRetries(&flaky{}, storeconfig.Timeouts{})
		start := time.Now()

		if err := store.Delete(t.Context(), "a"); !errors.Is(err, ErrDenied) || time.Since(start) > 0 {
			t.Errorf("%v after %s", err, time.Since(start))
		}

		if _, err := store.Head(t.Context(), "a"); !errors.Is(err, errBroken) || time.Since(start) == 0 {
			t.Errorf("%v after %s, want it retried", err, time.Since(start))
		}
	})
}
