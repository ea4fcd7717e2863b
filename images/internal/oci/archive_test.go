package oci

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/caretaker-dev/caretaker/images/internal/rootfs"
)

func testImage(t *testing.T, files ...string) v1.Image {
	t.Helper()
	var layers []*Layer
	for _, name := range files {
		tree, err := rootfs.New(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = tree.Close() }()
		if err := tree.AddFile(name, 0o644, rootfs.Owner{}, bytes.NewReader([]byte(name))); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "layer.tar.zst")
		if err := WriteLayer(file, tree.Write); err != nil {
			t.Fatal(err)
		}
		layer, err := OpenLayer(file)
		if err != nil {
			t.Fatal(err)
		}
		layers = append(layers, layer)
	}
	image, err := NewImage(v1.Config{User: "999:999"}, layers...)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func TestArchiveIsReadByOthers(t *testing.T) {
	image := testImage(t, "base", "top")
	if err := validate.Image(image, validate.Fast); err != nil {
		t.Errorf("the image is not valid: %v", err)
	}
	file := filepath.Join(t.TempDir(), "image.tar")
	names := []string{"caretaker.local/test:1.2", "caretaker.local/test:1"}
	if _, err := WriteArchive(file, image, names); err != nil {
		t.Fatal(err)
	}
	// What reads Docker's form finds the same configuration, which is what
	// gives an image its identity in a node.
	read, err := tarball.ImageFromPath(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	want, err := image.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	got, err := read.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	if want != got {
		t.Errorf("read back as %s, wrote %s", got, want)
	}
	manifest, err := tarball.LoadManifest(func() (io.ReadCloser, error) { return os.Open(filepath.Clean(file)) })
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(names, manifest[0].RepoTags); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

func TestWriteArchiveAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "image.tar")
	names := []string{"caretaker.local/test:1"}
	first, err := WriteArchive(file, testImage(t, "a"), names)
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	again, err := WriteArchive(file, testImage(t, "a"), names)
	if err != nil {
		t.Fatal(err)
	}
	unchanged, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if first != again || !os.SameFile(before, unchanged) {
		t.Errorf("the same image was written again: %s, then %s", first, again)
	}
	other, err := WriteArchive(file, testImage(t, "b"), names)
	if err != nil {
		t.Fatal(err)
	}
	changed, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if other == first || os.SameFile(before, changed) {
		t.Error("another image was not written")
	}
	leftovers, err := os.ReadDir(filepath.Dir(file))
	if err != nil || len(leftovers) != 1 {
		t.Errorf("temporary files are left: %v %v", leftovers, err)
	}
}
