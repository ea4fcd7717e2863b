package oci

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"

	"github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Layer is an uncompressed tar archive in a file. It is a v1.Layer.
type Layer struct {
	path string
	hash v1.Hash
	size int64
}

var _ v1.Layer = (*Layer)(nil)

// OpenLayer reads a layer's file once for its digest.
func OpenLayer(path string) (*Layer, error) {
	file, err := os.Open(path) //nolint:gosec // a layer that this program made
	if err != nil {
		return nil, fmt.Errorf("opening a layer: %w", err)
	}
	defer func() { _ = file.Close() }()
	sum := sha256.New()
	size, err := io.Copy(sum, file)
	if err != nil {
		return nil, fmt.Errorf("reading a layer: %w", err)
	}
	return &Layer{
		path: path,
		hash: v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum.Sum(nil))},
		size: size,
	}, nil
}

// Digest is the same as DiffID, since nothing is compressed.
func (l *Layer) Digest() (v1.Hash, error) { return l.hash, nil }

// DiffID is the digest of the tar archive.
func (l *Layer) DiffID() (v1.Hash, error) { return l.hash, nil }

// Size is in bytes.
func (l *Layer) Size() (int64, error) { return l.size, nil }

// MediaType is that of an uncompressed OCI layer.
func (l *Layer) MediaType() (types.MediaType, error) { return types.OCIUncompressedLayer, nil }

// Compressed returns the tar archive as it is.
func (l *Layer) Compressed() (io.ReadCloser, error) { return l.Uncompressed() }

// Uncompressed returns the tar archive.
func (l *Layer) Uncompressed() (io.ReadCloser, error) {
	file, err := os.Open(l.path)
	if err != nil {
		return nil, fmt.Errorf("opening a layer: %w", err)
	}
	return file, nil
}
