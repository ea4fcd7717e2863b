package build

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/caretaker-dev/caretaker/images/internal/oci"
	"github.com/caretaker-dev/caretaker/images/internal/recipe"
	"github.com/caretaker-dev/caretaker/images/internal/rootfs"
)

func testCache(t *testing.T) *Cache {
	t.Helper()
	cache, err := OpenCache(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return cache
}

// putLayer makes the cache look as if a recipe had been built.
func putLayer(t *testing.T, cache *Cache, recipeKey, version string, built time.Time) {
	t.Helper()
	layer := recipeKey + "-layer"
	empty := func(to io.Writer) error {
		_, err := to.Write(make([]byte, 1024))
		return err
	}
	if err := oci.WriteLayer(cache.layerPath(layer), empty); err != nil {
		t.Fatal(err)
	}
	if err := cache.keep(recipeKey, record{Layer: layer, Version: version, Built: built}); err != nil {
		t.Fatal(err)
	}
}

func TestCacheFindsWhatIsStillThere(t *testing.T) {
	cache := testCache(t)
	if _, ok := cache.find("postgresql17-a"); ok {
		t.Error("an empty cache has something")
	}
	putLayer(t, cache, "postgresql17-a", "17.10-1", time.Unix(100, 0))
	putLayer(t, cache, "postgresql17-b", "17.11-1", time.Unix(200, 0))
	putLayer(t, cache, "postgresql18-c", "18.6-1", time.Unix(300, 0))
	if found, ok := cache.find("postgresql17-a"); !ok || found.Version != "17.10-1" {
		t.Errorf("found %+v", found)
	}
	if found, ok := cache.findAny("postgresql17"); !ok || found.Version != "17.11-1" {
		t.Errorf("the newest is %+v", found)
	}
	if err := os.Remove(cache.layerPath("postgresql17-b-layer")); err != nil {
		t.Fatal(err)
	}
	if found, ok := cache.findAny("postgresql17"); !ok || found.Version != "17.10-1" {
		t.Errorf("the newest whose layer is there is %+v", found)
	}
}

func TestLockKeepsOthersOut(t *testing.T) {
	cache := testCache(t)
	unlock, err := cache.lock("apt-trixie", func() { t.Error("waited for nobody") })
	if err != nil {
		t.Fatal(err)
	}
	waiting, entered := make(chan struct{}), make(chan error)
	go func() {
		second, err := cache.lock("apt-trixie", func() { close(waiting) })
		if err == nil {
			err = second()
		}
		entered <- err
	}()
	<-waiting
	select {
	case err := <-entered:
		t.Log(err)
		t.Fatal("two hold the lock")
	default:
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	if err := <-entered; err != nil {
		t.Fatal(err)
	}
}

// TestBaseFallsBack has a mirror that is not there, on a port that nothing
// listens on.
func TestBaseFallsBack(t *testing.T) {
	from, err := recipe.PostgreSQL(18)
	if err != nil {
		t.Fatal(err)
	}
	keyring := filepath.Join(t.TempDir(), "keys.gpg")
	if err := os.WriteFile(keyring, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var output bytes.Buffer
	builder := &Builder{
		Cache:    testCache(t),
		Progress: NewProgress(&output, clocktesting.NewFakePassiveClock(time.Unix(1e9, 0))),
		Mirror:   "file:" + t.TempDir(),
		Keyring:  keyring,
	}
	if _, err := builder.Base(t.Context(), from); err == nil {
		t.Fatal("there was neither a mirror nor a cache, yet there is an image")
	} else if strings.Contains(err.Error(), "needs a Debian") {
		t.Skip(err)
	}
	putLayer(t, builder.Cache, "postgresql18-older", "18.5-1", time.Unix(100, 0))
	base, err := builder.Base(t.Context(), from)
	if err != nil {
		t.Fatal(err)
	}
	if base.Version != "18.5-1" || !strings.Contains(output.String(), "FALLING BACK to version 18.5-1") {
		t.Errorf("version %s, and said:\n%s", base.Version, output.String())
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := builder.Base(canceled, from); err == nil {
		t.Error("an interrupted build fell back instead of ending")
	}
}

func TestComplete(t *testing.T) {
	tree, err := rootfs.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tree.Close() }()
	from, err := recipe.PostgreSQL(17)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"usr/share/ca-certificates/mozilla/b.crt", "usr/share/ca-certificates/mozilla/a.crt",
		"usr/lib/postgresql/17/bin/psql", "usr/bin/mawk", "usr/share/man/man1/psql.1",
	} {
		if err := tree.AddFile(name, 0o644, rootfs.Owner{}, strings.NewReader(name+"\n")); err != nil {
			t.Fatal(err)
		}
	}
	if err := complete(tree, from); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"etc/ssl/certs/ca-certificates.crt": "usr/share/ca-certificates/mozilla/a.crt\nusr/share/ca-certificates/mozilla/b.crt\n",
		"usr/bin/psql":                      "usr/lib/postgresql/17/bin/psql\n",
		"usr/bin/awk":                       "usr/bin/mawk\n",
		"etc/group":                         "root:x:0:\nnogroup:x:65534:\npostgres:x:999:\n",
	} {
		reader, err := tree.Open(name)
		if err != nil {
			t.Error(err)
			continue
		}
		if got, err := io.ReadAll(reader); err != nil || string(got) != want {
			t.Errorf("%s is %q, want %q (%v)", name, got, want, err)
		}
	}
	if _, err := tree.Open("usr/share/man/man1/psql.1"); err == nil {
		t.Error("the manual stayed")
	}
}

func TestCheckStatic(t *testing.T) {
	shell, err := elf.Open("/bin/sh")
	if err != nil {
		t.Skip("there is no /bin/sh here")
	}
	defer func() { _ = shell.Close() }()
	if libraries, err := shell.ImportedLibraries(); err != nil || len(libraries) == 0 {
		t.Skip("/bin/sh is static here")
	}
	if err := checkStatic("/bin/sh"); !errors.Is(err, ErrNotStatic) {
		t.Errorf("a dynamic program: %v", err)
	}
	if err := checkStatic(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a program that is not there was accepted")
	}
}

func TestProgressCountsSeconds(t *testing.T) {
	var output bytes.Buffer
	var passive clock.PassiveClock = clocktesting.NewFakePassiveClock(time.Unix(0, 0))
	progress := NewProgress(&output, passive)
	progress.clock = clocktesting.NewFakePassiveClock(time.Unix(12, 5e8))
	progress.Printf("at %s", "work")
	if got, want := output.String(), " 12.5s  at work\n"; got != want {
		t.Errorf("printed %q, want %q", got, want)
	}
}
