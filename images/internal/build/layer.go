package build

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/caretaker-dev/caretaker/images/internal/debian"
	"github.com/caretaker-dev/caretaker/images/internal/oci"
	"github.com/caretaker-dev/caretaker/images/internal/recipe"
)

// format counts changes of this package that make other layers of the same
// recipe and packages.
const format = 2

// Builder makes images.
type Builder struct {
	Cache    *Cache
	Progress *Progress
	// Mirror and Keyring override what this machine's apt says, if set.
	Mirror, Keyring string
	// Refresh asks the archive for newer packages although the cache has a layer.
	Refresh bool
}

// Base is a finished layer of Debian packages.
type Base struct {
	Layer   *oci.Layer
	Version string
}

// Base returns the recipe's layer, from the cache if it was built before.
func (b *Builder) Base(ctx context.Context, from recipe.Recipe) (base Base, err error) {
	architecture, err := debian.Architecture(ctx)
	if err != nil {
		return Base{}, err
	}
	unlock, err := b.Cache.lock("apt-"+from.Suite, func() {
		b.Progress.Printf("waiting: another process builds from %s", from.Suite)
	})
	if err != nil {
		return Base{}, err
	}
	defer func() { err = errors.Join(err, unlock()) }()

	recipeKey, err := keyOf(from, architecture)
	if err != nil {
		return Base{}, err
	}
	name := from.Name + from.Track
	recipeKey = name + "-" + recipeKey
	made, cached := b.Cache.find(recipeKey)
	if cached && !b.Refresh {
		b.Progress.Printf("%s %s: in the cache since %s (--refresh asks for newer packages)",
			from.Name, made.Version, made.Built.Format(time.DateOnly))
		return b.open(made)
	}
	fresh, err := b.make(ctx, from, name, architecture)
	if err == nil {
		err = b.Cache.keep(recipeKey, fresh)
		if err != nil {
			return Base{}, err
		}
		return b.open(fresh)
	}
	if made, cached = b.Cache.findAny(name); !cached || ctx.Err() != nil {
		return Base{}, fmt.Errorf("building %s: %w", from.Name, err)
	}
	b.Progress.Printf("CANNOT BUILD %s %s: %v", from.Name, from.Track, err)
	b.Progress.Printf("FALLING BACK to version %s, built on %s", made.Version, made.Built.Format(time.DateOnly))
	return b.open(made)
}

func (b *Builder) open(made record) (Base, error) {
	layer, err := oci.OpenLayer(b.Cache.layerPath(made.Layer))
	return Base{Layer: layer, Version: made.Version}, err
}

// make asks the archive what the recipe means today, and builds the layer
// unless the same packages were built before.
func (b *Builder) make(ctx context.Context, from recipe.Recipe, name, architecture string) (record, error) {
	archive, err := b.archive(ctx, from.Suite, architecture)
	if err != nil {
		return record{}, err
	}
	packages, err := b.packages(ctx, archive, from)
	if err != nil {
		return record{}, err
	}
	var sums []string
	for _, pkg := range packages {
		sums = append(sums, pkg.SHA256)
	}
	hash, err := keyOf(from, architecture, sums...)
	if err != nil {
		return record{}, err
	}
	first := slices.IndexFunc(packages, func(pkg debian.Package) bool { return pkg.Name == from.Packages[0] })
	if first < 0 {
		return record{}, fmt.Errorf("apt did not choose %s", from.Packages[0])
	}
	made := record{
		Layer:    name + "-" + hash,
		Version:  packages[first].Version,
		Built:    b.Progress.clock.Now().UTC(),
		Packages: packages,
	}
	if _, err := os.Stat(b.Cache.layerPath(made.Layer)); err == nil {
		b.Progress.Printf("%s %s: these packages are built already", from.Name, made.Version)
		return made, nil
	}
	return made, b.writeLayer(ctx, from, packages, b.Cache.layerPath(made.Layer))
}

// packages downloads the recipe's packages.
func (b *Builder) packages(ctx context.Context, archive *debian.Archive, from recipe.Recipe) ([]debian.Package, error) {
	if err := archive.Prepare(from.Omit); err != nil {
		return nil, err
	}
	packages, err := archive.Resolve(ctx, from.Packages)
	if err != nil {
		return nil, err
	}
	b.Progress.Printf("%s %s: downloading %d packages of %s (what the cache lacks)", from.Name, from.Track, len(packages), from.Suite)
	return packages, archive.Download(ctx, from.Packages, packages)
}

// writeLayer builds in a temporary directory and renames at the end.
func (b *Builder) writeLayer(ctx context.Context, from recipe.Recipe, packages []debian.Package, to string) error {
	b.Progress.Printf("%s %s: unpacking %d packages", from.Name, from.Track, len(packages))
	prefix := ".building-" + from.Suite + "-"
	if err := b.Cache.clean(prefix); err != nil {
		return err
	}
	temporary, err := os.MkdirTemp(filepath.Dir(to), prefix)
	if err != nil {
		return fmt.Errorf("creating a temporary directory in the cache: %w", err)
	}
	defer func() { _ = os.RemoveAll(temporary) }()
	tree, err := assemble(ctx, from, packages, temporary)
	if err != nil {
		return err
	}
	defer func() { _ = tree.Close() }()
	layer := filepath.Join(temporary, "layer.tar.zst")
	if err := oci.WriteLayer(layer, tree.Write); err != nil {
		return err
	}
	if err := os.Rename(layer, to); err != nil {
		return fmt.Errorf("placing the layer in the cache: %w", err)
	}
	return nil
}

// keyOf names a recipe, or what it gave: equal inputs, equal name.
func keyOf(from recipe.Recipe, architecture string, sums ...string) (string, error) {
	text, err := json.Marshal(from)
	if err != nil {
		return "", fmt.Errorf("naming the recipe: %w", err)
	}
	all := fmt.Sprintf("%d %s %s %s", format, architecture, text, strings.Join(sums, " "))
	sum := sha256.Sum256([]byte(all))
	return hex.EncodeToString(sum[:8]), nil
}
