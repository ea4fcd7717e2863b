package objectstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caretaker-dev/caretaker/internal/objectstore"
	"github.com/caretaker-dev/caretaker/internal/objectstore/stores"
	"github.com/caretaker-dev/caretaker/internal/storeconfig"
)

// Every driver passes these, against the real server.
func TestConformance(t *testing.T) {
	drivers := map[string]func(t *testing.T) storeconfig.Config{
		"dir":   func(t *testing.T) storeconfig.Config { t.Helper(); return stores.Dir(t) },
		"s3":    func(t *testing.T) storeconfig.Config { t.Helper(); return stores.S3(t).Config },
		"gcs":   func(t *testing.T) storeconfig.Config { t.Helper(); return stores.GCS(t).Config },
		"azure": func(t *testing.T) storeconfig.Config { t.Helper(); return stores.Azure(t).Config },
	}
	for name, start := range drivers {
		t.Run(name, func(t *testing.T) {
			config := start(t)
			config.Prefix = "some/prefix"
			store := open(t, config)

			t.Run("objects", func(t *testing.T) { testObjects(t, store) })
			t.Run("put if absent", func(t *testing.T) { testPutIfAbsent(t, store) })
			t.Run("ranges", func(t *testing.T) { testRanges(t, store) })
			t.Run("list", func(t *testing.T) { testList(t, store) })
			t.Run("probe", func(t *testing.T) { testProbe(t, store) })
			t.Run("no bucket", func(t *testing.T) { testNoBucket(t, config) })
			t.Run("wrong credentials", func(t *testing.T) { testDenied(t, config) })
		})
	}
}

func open(t *testing.T, config storeconfig.Config) objectstore.Store {
	t.Helper()

	store, err := objectstore.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}

	return store
}

func testObjects(t *testing.T, store objectstore.Store) {
	t.Helper()

	ctx := t.Context()

	for _, size := range []int{0, 1, 100_000, 9 << 20} {
		key := fmt.Sprintf("objects/a b+c=%%/ü/%d.bin", size)
		content := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]

		if err := store.Put(ctx, key, content); err != nil {
			t.Fatal(err)
		}

		got, err := objectstore.Get(ctx, store, key, 64<<20)
		if err != nil || !bytes.Equal(got, content) {
			t.Fatalf("%d bytes: %d came back, %v", size, len(got), err)
		}

		info, err := store.Head(ctx, key)
		if err != nil || info.Size != int64(size) || info.Key != key || time.Since(info.Modified).Abs() > time.Hour {
			t.Errorf("head: %+v, %v", info, err)
		}

		if err := store.Put(ctx, key, []byte("replaced")); err != nil {
			t.Fatal(err)
		}

		if got, err := objectstore.Get(ctx, store, key, 100); err != nil || string(got) != "replaced" {
			t.Errorf("replaced: %q, %v", got, err)
		}

		if _, err := objectstore.Get(ctx, store, key, 7); err == nil {
			t.Error("an object of 8 bytes was read, where 7 are the limit")
		}

		// Into the same memory, whatever it held.
		memory := bytes.Repeat([]byte("x"), 4096)
		if got, err := objectstore.GetInto(ctx, store, key, 100, memory); err != nil || string(got) != "replaced" || &got[0] != &memory[0] {
			t.Errorf("into memory that suffices: %q, %v", got, err)
		}

		for range 2 {
			if err := store.Delete(ctx, key); err != nil {
				t.Errorf("delete: %v", err)
			}
		}

		if _, err := objectstore.Get(ctx, store, key, 100); !errors.Is(err, objectstore.ErrNotFound) {
			t.Errorf("deleted, then read: %v", err)
		}

		if _, err := store.Head(ctx, key); !errors.Is(err, objectstore.ErrNotFound) {
			t.Errorf("deleted, then head: %v", err)
		}
	}

	for _, key := range []string{"", "/a", "a//b", "../a", "a/../b", "a/", "a\nb", strings.Repeat("a", 2000)} {
		if err := store.Put(ctx, key, nil); !errors.Is(err, objectstore.ErrInvalid) {
			t.Errorf("key %q: %v", key, err)
		}
	}
}

func testPutIfAbsent(t *testing.T, store objectstore.Store) {
	t.Helper()

	const writers = 8

	var (
		group   sync.WaitGroup
		mu      sync.Mutex
		winners []int
	)

	for i := range writers {
		group.Go(func() {
			err := store.PutIfAbsent(t.Context(), "absent/one", fmt.Appendf(nil, "writer %d", i))

			mu.Lock()
			defer mu.Unlock()

			switch {
			case err == nil:
				winners = append(winners, i)
			case !errors.Is(err, objectstore.ErrExists):
				t.Errorf("writer %d: %v", i, err)
			}
		})
	}

	group.Wait()

	got, err := objectstore.Get(t.Context(), store, "absent/one", 100)
	if len(winners) != 1 || err != nil || string(got) != fmt.Sprintf("writer %d", winners[0]) {
		t.Errorf("winners %v, content %q, %v", winners, got, err)
	}
}

func testRanges(t *testing.T, store objectstore.Store) {
	t.Helper()

	if err := store.Put(t.Context(), "range", []byte("0123456789")); err != nil {
		t.Fatal(err)
	}

	for _, c := range []struct {
		offset, length int64
		want           string
	}{{0, -1, "0123456789"}, {3, -1, "3456789"}, {3, 4, "3456"}, {0, 1, "0"}, {8, 100, "89"}, {4, 0, ""}} {
		reader, err := store.GetRange(t.Context(), "range", c.offset, c.length)
		if err != nil {
			t.Errorf("%+v: %v", c, err)

			continue
		}

		got, err := io.ReadAll(reader)
		if err != nil || string(got) != c.want || reader.Close() != nil {
			t.Errorf("%+v: %q, %v", c, got, err)
		}
	}
}

func testList(t *testing.T, store objectstore.Store) {
	t.Helper()

	var want []string

	for i := range 25 {
		want = append(want, fmt.Sprintf("list/a/%02d", i))
	}

	want = append(want, "list/a.b", "list/a-b/c", "list/b")
	slices.Sort(want)

	for _, key := range want {
		if err := store.Put(t.Context(), key, []byte(key)); err != nil {
			t.Fatal(err)
		}
	}

	list := func(prefix, after string) (keys []string) {
		for info, err := range store.List(t.Context(), prefix, after) {
			if err != nil {
				t.Fatal(err)
			}

			if info.Size != int64(len(info.Key)) {
				t.Errorf("%s has %d bytes in the list", info.Key, info.Size)
			}

			keys = append(keys, info.Key)
		}

		return keys
	}

	if got := list("list/", ""); !slices.Equal(got, want) {
		t.Errorf("all: %v, want %v", got, want)
	}

	if got := list("list/a", "list/a/20"); !slices.Equal(got, []string{"list/a/21", "list/a/22", "list/a/23", "list/a/24"}) {
		t.Errorf("after: %v", got)
	}

	if got := list("list/a/1", ""); len(got) != 10 {
		t.Errorf("part of a name: %v", got)
	}

	if got := list("nothing/", ""); len(got) != 0 {
		t.Errorf("nothing: %v", got)
	}
}

func testProbe(t *testing.T, store objectstore.Store) {
	t.Helper()

	found, err := objectstore.Probe(t.Context(), store)
	if err != nil || !found.PutIfAbsent || !found.Delete {
		t.Errorf("%+v, %v", found, err)
	}
}

func testNoBucket(t *testing.T, config storeconfig.Config) {
	t.Helper()

	config.Bucket += "-that-does-not-exist"
	if config.Type == storeconfig.TypeDir {
		if _, err := objectstore.Open(t.Context(), config); !errors.Is(err, objectstore.ErrInvalid) {
			t.Errorf("open: %v", err)
		}

		return
	}

	store := open(t, config)

	for _, err := range store.List(t.Context(), "", "") {
		if !errors.Is(err, objectstore.ErrNoBucket) {
			t.Errorf("list: %v", err)
		}

		break
	}

	// GCS's SDK does not tell a bucket from an object here; who reads WAL asks for the archive's identity too.
	_, err := objectstore.Get(t.Context(), store, "a", 100)
	if config.Type != storeconfig.TypeGCS && (errors.Is(err, objectstore.ErrNotFound) || !errors.Is(err, objectstore.ErrNoBucket)) {
		t.Errorf("get: %v", err)
	}
}

// A rotated Secret takes effect; wrong credentials are a refusal, not a network error and not "not there".
func testDenied(t *testing.T, config storeconfig.Config) {
	t.Helper()

	var file, wrong string

	switch config.Type {
	case storeconfig.TypeS3:
		file, wrong = config.Credentials.SecretAccessKeyFile, "wrong"
	case storeconfig.TypeAzure:
		file, wrong = config.Credentials.AzureKeyFile, "d3Jvbmc="
	case storeconfig.TypeGCS, storeconfig.TypeDir:
		fallthrough
	default:
		t.Skip("this server asks for no credentials")
	}

	right, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}

	store := open(t, config)

	for _, step := range []struct {
		secret string
		want   error
	}{{string(right), nil}, {wrong, objectstore.ErrDenied}, {string(right), nil}} {
		if err := os.WriteFile(file, []byte(step.secret), 0o600); err != nil {
			t.Fatal(err)
		}

		_, err := objectstore.Get(t.Context(), store, "range", 100)
		if !errors.Is(err, step.want) || step.want == nil && err != nil {
			t.Errorf("%v, want %v", err, step.want)
		}
	}
}

// A server that is killed and started again costs time, and nothing else.
func TestAServerThatComesBackIsWaitedFor(t *testing.T) {
	server := stores.S3(t)
	config := server.Config
	config.Timeouts = storeconfig.Timeouts{Attempts: 100, MaxBackoff: 200 * time.Millisecond}
	store := open(t, config)

	if err := store.Put(t.Context(), "a", []byte("1")); err != nil {
		t.Fatal(err)
	}

	server.Kill()

	done := make(chan error, 1)

	go func() { done <- store.PutIfAbsent(t.Context(), "b", []byte("2")) }()

	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()

	if _, err := objectstore.Get(ctx, store, "missing", 100); err == nil || errors.Is(err, objectstore.ErrNotFound) {
		t.Errorf("a server that is down said: %v", err)
	}

	server.Start()

	if err := <-done; err != nil {
		t.Errorf("the write did not go through afterwards: %v", err)
	}
}
