package build

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1"

	"github.com/caretaker-dev/caretaker/images/internal/oci"
	"github.com/caretaker-dev/caretaker/images/internal/recipe"
	"github.com/caretaker-dev/caretaker/images/internal/rootfs"
)

// Output is where an image goes.
type Output struct {
	File string
	// Names (repository:tag) are added to the image's own.
	Names []string
}

// Image makes an image of the recipe, or of a variant of it.
func (b *Builder) Image(ctx context.Context, from recipe.Recipe, variant recipe.Variant, to Output) error {
	base, err := b.Base(ctx, from)
	if err != nil {
		return err
	}
	config := from.Config(base.Version)
	layers := []*oci.Layer{base.Layer}
	if variant.Suffix() != "" {
		config = variant.Configure(config, from.Track)
		layer, remove, err := variantLayer(variant, from)
		if err != nil {
			return err
		}
		defer remove()
		layers = append(layers, layer)
	}
	to.Names = append(from.Names(base.Version, variant.Suffix()), to.Names...)
	return b.write(to, config, layers)
}

// variantLayer makes the small layer on top that a variant consists of.
func variantLayer(variant recipe.Variant, from recipe.Recipe) (*oci.Layer, func(), error) {
	return smallLayer(func(tree *rootfs.Tree) error {
		user, dirs, files := variant.Contents(from)
		if err := addUsers(tree, user); err != nil {
			return err
		}
		addDirs(tree, dirs, user)
		return addFiles(tree, files)
	})
}

// smallLayer makes a layer in a temporary file. The returned function removes it.
func smallLayer(fill func(*rootfs.Tree) error) (layer *oci.Layer, remove func(), err error) {
	temporary, err := os.MkdirTemp("", "caretaker-image-")
	if err != nil {
		return nil, nil, fmt.Errorf("creating a temporary directory: %w", err)
	}
	remove = func() { _ = os.RemoveAll(temporary) }
	defer func() {
		if err != nil {
			remove()
		}
	}()
	tree, err := rootfs.New(temporary)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = tree.Close() }()
	if err := fill(tree); err != nil {
		return nil, nil, err
	}
	file := filepath.Join(temporary, "layer.tar.zst")
	if err := oci.WriteLayer(file, tree.Write); err != nil {
		return nil, nil, err
	}
	layer, err = oci.OpenLayer(file)
	return layer, remove, err
}

// write writes the image and prints its names, digest and size.
func (b *Builder) write(to Output, config v1.Config, layers []*oci.Layer) error {
	image, err := oci.NewImage(config, layers...)
	if err != nil {
		return err
	}
	slices.Sort(to.Names)
	to.Names = slices.Compact(to.Names)
	digest, err := oci.WriteArchive(to.File, image, to.Names)
	if err != nil {
		return err
	}
	info, err := os.Stat(to.File)
	if err != nil {
		return fmt.Errorf("reading the image archive: %w", err)
	}
	b.Progress.Printf("image %s  %s  %d MB  %s", strings.Join(to.Names, " "), digest, info.Size()/1e6, to.File)
	return nil
}
