package build

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/caretaker-dev/caretaker/images/internal/debian"
)

// Cache is a directory that outlives checkouts:
//
//	apt/<suite>/          apt's lists and downloaded packages
//	layers/<key>.tar.zst  finished layers
//	recipes/<recipe>.json which layer a recipe gave last
type Cache struct {
	Dir string
}

// record is what a recipe gave last.
type record struct {
	Layer    string           `json:"layer"`
	Version  string           `json:"version"`
	Built    time.Time        `json:"built"`
	Packages []debian.Package `json:"packages"`
}

// OpenCache returns the cache in the given directory, or in the user's own
// cache directory if that is empty.
func OpenCache(dir string) (*Cache, error) {
	if dir == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return nil, fmt.Errorf("finding the cache directory (set HOME or XDG_CACHE_HOME): %w", err)
		}
		dir = filepath.Join(user, "caretaker", "images")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("finding the cache directory: %w", err)
	}
	for _, sub := range []string{"apt", "layers", "recipes", "locks"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o750); err != nil {
			return nil, fmt.Errorf("creating the cache: %w", err)
		}
	}
	return &Cache{Dir: dir}, nil
}

// lock keeps other processes away from what name stands for until the returned
// function is called. The kernel frees it if the process dies.
func (c *Cache) lock(name string, waiting func()) (unlock func() error, err error) {
	file, err := os.OpenFile(filepath.Join(c.Dir, "locks", name), os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // in the cache
	if err != nil {
		return nil, fmt.Errorf("opening the lock: %w", err)
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		waiting()
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("locking %s: %w", file.Name(), err), file.Close())
	}
	return file.Close, nil
}

// layerPath is where the layer with the given key lies.
func (c *Cache) layerPath(key string) string {
	return filepath.Join(c.Dir, "layers", key+".tar.zst")
}

// find returns what the recipe gave last, if the layer is still there.
func (c *Cache) find(recipeKey string) (record, bool) {
	return c.read(filepath.Join(c.Dir, "recipes", recipeKey+".json"))
}

// findAny returns the newest layer of any form of the recipe.
func (c *Cache) findAny(recipeName string) (record, bool) {
	files, err := filepath.Glob(filepath.Join(c.Dir, "recipes", recipeName+"-*.json"))
	if err != nil {
		return record{}, false
	}
	var newest record
	for _, file := range files {
		if found, ok := c.read(file); ok && found.Built.After(newest.Built) {
			newest = found
		}
	}
	return newest, newest.Layer != ""
}

func (c *Cache) read(file string) (record, bool) {
	text, err := os.ReadFile(file) //nolint:gosec // in the cache
	if err != nil {
		return record{}, false
	}
	var found record
	if json.Unmarshal(text, &found) != nil || found.Layer == "" {
		return record{}, false
	}
	_, err = os.Stat(c.layerPath(found.Layer))
	return found, err == nil
}

// keep notes what the recipe gave, so that the next run need not ask apt.
func (c *Cache) keep(recipeKey string, made record) error {
	text, err := json.MarshalIndent(made, "", "  ")
	if err != nil {
		return fmt.Errorf("noting the build: %w", err)
	}
	file := filepath.Join(c.Dir, "recipes", recipeKey+".json")
	if err := os.WriteFile(file+".new", text, 0o600); err != nil {
		return fmt.Errorf("noting the build: %w", err)
	}
	return os.Rename(file+".new", file)
}

// clean removes what a killed run left; the caller holds the lock.
func (c *Cache) clean(prefix string) error {
	files, err := os.ReadDir(filepath.Join(c.Dir, "layers"))
	if err != nil {
		return fmt.Errorf("reading the cache: %w", err)
	}
	leftovers := slices.DeleteFunc(files, func(file os.DirEntry) bool {
		return !strings.HasPrefix(file.Name(), prefix)
	})
	for _, file := range leftovers {
		if err := os.RemoveAll(filepath.Join(c.Dir, "layers", file.Name())); err != nil {
			return fmt.Errorf("cleaning the cache: %w", err)
		}
	}
	return nil
}
