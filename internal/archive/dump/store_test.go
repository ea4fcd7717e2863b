package dump

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/caretaker-dev/caretaker/internal/archive/basebackup"
	"github.com/caretaker-dev/caretaker/internal/objectstore"
	"github.com/caretaker-dev/caretaker/internal/storeconfig"
)

var start = time.Date(2026, 11, 1, 2, 0, 0, 0, time.UTC)

// newStore is a folder, whose files a test may damage.
func newStore(t *testing.T) (objectstore.Store, string) {
	t.Helper()

	dir := t.TempDir()

	store, err := objectstore.Open(t.Context(), storeconfig.Config{Type: storeconfig.TypeDir, Bucket: dir})
	if err != nil {
		t.Fatal(err)
	}

	return store, dir
}

func writes(content []byte) func(context.Context, io.Writer) error {
	return func(_ context.Context, w io.Writer) error {
		// In odd pieces, as a pipe gives them.
		for len(content) > 0 {
			n := min(len(content), 65521)
			if _, err := w.Write(content[:n]); err != nil {
				return err
			}

			content = content[n:]
		}

		return nil
	}
}

// noise does not compress, so that there are several chunks in the store whatever the compression.
func noise(n int) []byte {
	out, source := make([]byte, n), rand.New(rand.NewPCG(1, 2))
	for i := range out {
		out[i] = byte(source.Uint32())
	}

	return out
}

func take(t *testing.T, store objectstore.Store, at time.Time, content []byte, recipients ...age.Recipient) *Manifest {
	t.Helper()

	m, err := Take(t.Context(), TakeOptions{
		Store: store, About: Manifest{Name: "shop/nightly", Engine: "postgresql", Database: "app"}, Recipients: recipients,
		Clock: clocktesting.NewFakePassiveClock(at), Produce: writes(content),
	})
	if err != nil {
		t.Fatal(err)
	}

	return m
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()

	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}

	for name, recipients := range map[string][]age.Recipient{"plain": nil, "encrypted": {identity.Recipient()}} {
		for _, size := range []int{1, chunkBytes - 1, chunkBytes, 2*chunkBytes + 12345} {
			t.Run(fmt.Sprint(name, " ", size), func(t *testing.T) {
				t.Parallel()

				store, dir := newStore(t)
				content := noise(size)
				taken := take(t, store, start, content, recipients...)

				m, err := Latest(t.Context(), store, "shop/nightly")
				if err != nil || m.ID != taken.ID || m.DataBytes != int64(size) {
					t.Fatalf("%+v, %v", m, err)
				}

				var out bytes.Buffer
				if err := Read(t.Context(), store, m, []age.Identity{identity}, &out); err != nil || !bytes.Equal(out.Bytes(), content) {
					t.Fatalf("%d bytes came back: %v", out.Len(), err)
				}

				if recipients == nil {
					return
				}

				if err := Verify(t.Context(), store, m, nil); err == nil {
					t.Error("it was read without the key")
				}

				first, err := os.ReadFile(filepath.Join(dir, chunkKey(m.ID, 0)))
				if err != nil || size > 64 && bytes.Contains(first, content[:64]) {
					t.Errorf("the content is to be seen in the store: %v", err)
				}
			})
		}
	}
}

// TestDamageIsRefused flips a byte of each object, and takes each away.
func TestDamageIsRefused(t *testing.T) {
	t.Parallel()

	store, dir := newStore(t)
	m := take(t, store, start, noise(2*chunkBytes+1))

	for _, key := range []string{chunkKey(m.ID, 0), chunkKey(m.ID, 1), chunkKey(m.ID, 2)} {
		file := filepath.Join(dir, key)

		whole, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}

		damaged := bytes.Clone(whole)
		damaged[len(damaged)/2] ^= 1

		for name, content := range map[string][]byte{"flipped": damaged, "shorter": whole[:len(whole)-1], "gone": nil} {
			if content == nil {
				err = os.Remove(file)
			} else {
				err = os.WriteFile(file, content, 0o600)
			}

			if err != nil {
				t.Fatal(err)
			}

			var out bytes.Buffer

			err := Read(t.Context(), store, m, nil, &out)
			if _, ok := errors.AsType[*DamagedError](err); !ok || !strings.Contains(err.Error(), key) {
				t.Errorf("%s %s: %v", key, name, err)
			}

			if _, ok := errors.AsType[*DamagedError](ReadBack(t.Context(), store, m.ID)); !ok {
				t.Errorf("%s %s: it was read back", key, name)
			}

			if out.Len()%chunkBytes != 0 {
				t.Errorf("%s %s: %d bytes of a damaged chunk were passed on", key, name, out.Len()%chunkBytes)
			}
		}

		if err := os.WriteFile(file, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}

	if err := errors.Join(Verify(t.Context(), store, m, nil), ReadBack(t.Context(), store, m.ID)); err != nil {
		t.Fatalf("it is whole again: %v", err)
	}

	// A manifest that leaves out the last chunk.
	m.Chunks = m.Chunks[:2]
	if _, ok := errors.AsType[*DamagedError](Verify(t.Context(), store, m, nil)); !ok {
		t.Error("a dump without its last chunk was taken for whole")
	}
}

// TestNobodyWithoutTheKeyLeavesOutChunks: whoever may write to the store can make checksums, and no seal.
func TestNobodyWithoutTheKeyLeavesOutChunks(t *testing.T) {
	t.Parallel()

	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}

	store, _ := newStore(t)
	content := noise(2 * chunkBytes)
	m := take(t, store, start, content, identity.Recipient())
	plain := take(t, store, start, content[:chunkBytes])

	m.Chunks, m.SHA256 = m.Chunks[:1], plain.SHA256
	if _, ok := errors.AsType[*DamagedError](Verify(t.Context(), store, m, []age.Identity{identity})); !ok {
		t.Error("a dump that was made shorter was taken for whole")
	}
}

// TestFailedDumpIsNone: what fails leaves nothing that could be taken for a dump, and no chunks.
func TestFailedDumpIsNone(t *testing.T) {
	t.Parallel()

	boom := errors.New("boom")

	for name, produce := range map[string]func(context.Context, io.Writer) error{
		"the program fails": func(ctx context.Context, w io.Writer) error {
			return errors.Join(writes(noise(chunkBytes+1))(ctx, w), boom)
		},
		"the program says nothing": func(context.Context, io.Writer) error { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			store, _ := newStore(t)

			_, err := Take(t.Context(), TakeOptions{Store: store, Clock: clocktesting.NewFakePassiveClock(start), Produce: produce})
			if err == nil {
				t.Fatal("it succeeded")
			}

			for info, err := range store.List(t.Context(), "", "") {
				t.Errorf("left: %s, %v", info.Key, err)
			}
		})
	}
}

// full is a store that takes some objects, and then no more.
type full struct {
	objectstore.Store

	room chan struct{}
}

func (f full) Put(ctx context.Context, key string, body []byte) error {
	select {
	case f.room <- struct{}{}:
		return f.Store.Put(ctx, key, body)
	default:
		return objectstore.ErrFull
	}
}

func TestFullStoreEndsTheDump(t *testing.T) {
	t.Parallel()

	store, _ := newStore(t)
	endless := func(_ context.Context, w io.Writer) error {
		for chunk := noise(chunkBytes); ; {
			if _, err := w.Write(chunk); err != nil {
				return fmt.Errorf("signal: broken pipe: %w", err)
			}
		}
	}

	_, err := Take(t.Context(), TakeOptions{Store: full{store, make(chan struct{}, 2)}, Clock: clocktesting.NewFakePassiveClock(start), Produce: endless})
	if !errors.Is(err, objectstore.ErrFull) || strings.Contains(err.Error(), "broken pipe") {
		t.Errorf("it ended with %v", err)
	}
}

func TestExpired(t *testing.T) {
	t.Parallel()

	day := func(n int) *Manifest { return &Manifest{ID: fmt.Sprint(n), Completed: start.AddDate(0, 0, n)} }

	for _, tc := range []struct {
		name   string
		dumps  []*Manifest
		policy basebackup.Policy
		want   string
	}{
		{"by age", []*Manifest{day(0), day(5), day(9)}, basebackup.Policy{Window: 4 * 24 * time.Hour}, "[0 5]"},
		{"all too old", []*Manifest{day(0), day(1)}, basebackup.Policy{Window: time.Hour}, "[0]"},
		{"by number", []*Manifest{day(3), day(1), day(2)}, basebackup.Policy{Count: 2}, "[1]"},
		{"fewer than the number", []*Manifest{day(3), day(1)}, basebackup.Policy{Count: 7}, "[]"},
		{"none", nil, basebackup.Policy{Count: 1}, "[]"},
	} {
		ids := []string{}
		for _, m := range expired(tc.dumps, tc.policy, start.AddDate(0, 0, 10)) {
			ids = append(ids, m.ID)
		}

		if got := fmt.Sprint(ids); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
}

// TestExpire: others' dumps stay, and what was interrupted is swept once it can no longer be running.
func TestExpire(t *testing.T) {
	t.Parallel()

	store, _ := newStore(t)

	other, err := Take(t.Context(), TakeOptions{
		Store: store, About: Manifest{Name: "shop/other"}, Clock: clocktesting.NewFakePassiveClock(start), Produce: writes([]byte("x")),
	})
	if err != nil {
		t.Fatal(err)
	}

	first, second := take(t, store, start, []byte("1")), take(t, store, start.AddDate(0, 0, 1), []byte("2"))
	now := start.AddDate(0, 0, 30)
	old, young := newID(start), newID(now.Add(-time.Hour))

	for _, id := range []string{old, young} {
		if err := store.Put(t.Context(), chunkKey(id, 0), []byte("half")); err != nil {
			t.Fatal(err)
		}
	}

	done, err := Expire(t.Context(), store, "shop/nightly", "1", now)
	if err != nil {
		t.Fatal(err)
	}

	if got, want := fmt.Sprint(*done), fmt.Sprint(Expiry{Kept: []string{second.ID}, Deleted: []string{first.ID}, Swept: []string{old}}); got != want {
		t.Errorf("%s, want %s", got, want)
	}

	for _, m := range []*Manifest{other, second} {
		if err := Verify(t.Context(), store, m, nil); err != nil {
			t.Errorf("%s: %v", m.Name, err)
		}
	}

	if _, err := Load(t.Context(), store, first.ID); !errors.Is(err, ErrNoDump) {
		t.Errorf("what was deleted: %v", err)
	}

	left := ""

	for info, err := range store.List(t.Context(), dataPrefix, "") {
		if err != nil {
			t.Fatal(err)
		}

		left += info.Key
	}

	if strings.Contains(left, first.ID) || strings.Contains(left, old) || !strings.Contains(left, young) {
		t.Errorf("chunks that are left: %s", left)
	}

	if _, err := Expire(t.Context(), store, "shop/nightly", "soon", now); err == nil {
		t.Error("a retention that is none was followed")
	}
}
