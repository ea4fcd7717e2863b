package oci

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/caretaker-dev/caretaker/images/internal/rootfs"
)

// dockerManifest is one entry of manifest.json.
type dockerManifest struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// WriteArchive writes the image under the given names (repository:tag) to a
// file. The file appears complete or not at all, and is left alone if it
// already holds this image under these names. It returns the image's digest.
func WriteArchive(file string, image v1.Image, names []string) (v1.Hash, error) {
	digest, err := image.Digest()
	if err != nil {
		return v1.Hash{}, fmt.Errorf("computing the image's digest: %w", err)
	}
	index, err := indexOf(image, digest, names)
	if err != nil {
		return v1.Hash{}, err
	}
	if bytes.Equal(index, readIndex(file)) {
		return digest, nil
	}
	temporary, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-*")
	if err != nil {
		return v1.Hash{}, fmt.Errorf("creating the image archive: %w", err)
	}
	defer func() { _ = os.Remove(temporary.Name()) }()
	writer := &archiveWriter{tar: tar.NewWriter(temporary), seen: map[string]bool{}}
	err = errors.Join(writer.write(image, index, names), writer.tar.Close(), temporary.Chmod(0o644), temporary.Close())
	if err != nil {
		return v1.Hash{}, fmt.Errorf("writing the image archive %s: %w", file, err)
	}
	if err := os.Rename(temporary.Name(), file); err != nil {
		return v1.Hash{}, fmt.Errorf("placing the image archive: %w", err)
	}
	return digest, nil
}

// indexOf returns index.json: the image once for each of its names.
func indexOf(image v1.Image, digest v1.Hash, names []string) ([]byte, error) {
	size, err := image.Size()
	if err != nil {
		return nil, fmt.Errorf("computing the manifest's size: %w", err)
	}
	index := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex}
	for _, name := range names {
		index.Manifests = append(index.Manifests, v1.Descriptor{
			MediaType: types.OCIManifestSchema1,
			Size:      size,
			Digest:    digest,
			// The first is what containerd goes by, the second podman.
			Annotations: map[string]string{
				"io.containerd.image.name":          name,
				"org.opencontainers.image.ref.name": name,
			},
		})
	}
	text, err := json.Marshal(index)
	if err != nil {
		return nil, fmt.Errorf("writing the image index: %w", err)
	}
	return text, nil
}

// readIndex returns index.json of an archive that WriteArchive made, or nil.
func readIndex(name string) []byte {
	file, err := os.Open(name) //nolint:gosec // the output file that the user names
	if err != nil {
		return nil
	}
	defer func() { _ = file.Close() }()
	reader := tar.NewReader(file)
	for range 2 {
		header, err := reader.Next()
		if err != nil {
			return nil
		}
		if header.Name == "index.json" {
			text, err := io.ReadAll(io.LimitReader(reader, 1<<20))
			if err != nil {
				return nil
			}
			return text
		}
	}
	return nil
}

type archiveWriter struct {
	tar  *tar.Writer
	seen map[string]bool
}

// write keeps index.json near the front, where readIndex finds it soon.
func (w *archiveWriter) write(image v1.Image, index []byte, names []string) error {
	manifest, err := image.RawManifest()
	if err != nil {
		return err
	}
	digest, err := image.Digest()
	if err != nil {
		return err
	}
	config, err := image.RawConfigFile()
	if err != nil {
		return err
	}
	configName, err := image.ConfigName()
	if err != nil {
		return err
	}
	layers, err := image.Layers()
	if err != nil {
		return err
	}
	docker := dockerManifest{Config: blobPath(configName), RepoTags: names}
	for _, layer := range layers {
		hash, err := layer.Digest()
		if err != nil {
			return err
		}
		docker.Layers = append(docker.Layers, blobPath(hash))
	}
	dockerText, err := json.Marshal([]dockerManifest{docker})
	if err != nil {
		return err
	}
	return errors.Join(
		w.add("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)),
		w.add("index.json", index),
		w.add("manifest.json", dockerText),
		w.add(blobPath(digest), manifest),
		w.add(blobPath(configName), config),
		w.addLayers(layers),
	)
}

func blobPath(hash v1.Hash) string {
	return "blobs/" + hash.Algorithm + "/" + hash.Hex
}

func (w *archiveWriter) add(name string, content []byte) error {
	return w.copy(name, int64(len(content)), bytes.NewReader(content))
}

func (w *archiveWriter) addLayers(layers []v1.Layer) error {
	for _, layer := range layers {
		if err := w.addLayer(layer); err != nil {
			return err
		}
	}
	return nil
}

func (w *archiveWriter) addLayer(layer v1.Layer) error {
	hash, err := layer.Digest()
	if err != nil {
		return err
	}
	size, err := layer.Size()
	if err != nil {
		return err
	}
	content, err := layer.Compressed()
	if err != nil {
		return err
	}
	defer func() { _ = content.Close() }()
	return w.copy(blobPath(hash), size, content)
}

func (w *archiveWriter) copy(name string, size int64, content io.Reader) error {
	if w.seen[name] {
		return nil
	}
	w.seen[name] = true
	header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: size, ModTime: rootfs.Epoch()}
	if err := w.tar.WriteHeader(header); err != nil {
		return err
	}
	_, err := io.Copy(w.tar, content)
	return err
}
