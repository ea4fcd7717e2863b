package oci

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"

	"github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"
)

// Layer is a tar archive, compressed with zstd, in a file. It is a v1.Layer.
//
// Three nodes that load a 115 MB layer at once on 2 cores take 3.2 s for zstd,
// 4.5 s for no compression (containerd syncs what it stores) and 4.9 s for gzip.
type Layer struct {
	path   string
	digest v1.Hash
	diffID v1.Hash
	size   int64
}

var _ v1.Layer = (*Layer)(nil)

// WriteLayer writes to a file what write writes as a tar archive. The bytes
// depend on the contents alone.
func WriteLayer(path string, write func(io.Writer) error) error {
	file, err := os.Create(path) //nolint:gosec // in a temporary directory of ours
	if err != nil {
		return fmt.Errorf("creating a layer: %w", err)
	}
	// More than one thread may cut the stream elsewhere.
	compressor, err := zstd.NewWriter(file, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return errors.Join(fmt.Errorf("compressing a layer: %w", err), file.Close())
	}
	if err := errors.Join(write(compressor), compressor.Close(), file.Close()); err != nil {
		return fmt.Errorf("writing a layer: %w", err)
	}
	return nil
}

// OpenLayer reads a layer's file once for its digests.
func OpenLayer(path string) (*Layer, error) {
	file, err := os.Open(path) //nolint:gosec // a layer that this program made
	if err != nil {
		return nil, fmt.Errorf("opening a layer: %w", err)
	}
	defer func() { _ = file.Close() }()
	digest, diffID := sha256.New(), sha256.New()
	decompressor, err := zstd.NewReader(io.TeeReader(file, digest))
	if err != nil {
		return nil, fmt.Errorf("reading a layer: %w", err)
	}
	defer decompressor.Close()
	if _, err := io.Copy(diffID, decompressor); err != nil {
		return nil, fmt.Errorf("reading the layer %s (remove it, it is made again): %w", path, err)
	}
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("reading a layer: %w", err)
	}
	return &Layer{path: path, digest: sum(digest), diffID: sum(diffID), size: info.Size()}, nil
}

func sum(of hash.Hash) v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(of.Sum(nil))}
}

// Digest is that of the compressed archive.
func (l *Layer) Digest() (v1.Hash, error) { return l.digest, nil }

// DiffID is the digest of the tar archive.
func (l *Layer) DiffID() (v1.Hash, error) { return l.diffID, nil }

// Size is that of the compressed archive, in bytes.
func (l *Layer) Size() (int64, error) { return l.size, nil }

// MediaType is that of a zstd OCI layer.
func (l *Layer) MediaType() (types.MediaType, error) { return types.OCILayerZStd, nil }

// Compressed returns the file as it is.
func (l *Layer) Compressed() (io.ReadCloser, error) {
	file, err := os.Open(l.path)
	if err != nil {
		return nil, fmt.Errorf("opening a layer: %w", err)
	}
	return file, nil
}

// Uncompressed returns the tar archive.
func (l *Layer) Uncompressed() (io.ReadCloser, error) {
	file, err := os.Open(l.path)
	if err != nil {
		return nil, fmt.Errorf("opening a layer: %w", err)
	}
	decompressor, err := zstd.NewReader(file)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reading a layer: %w", err), file.Close())
	}
	return &uncompressed{Decoder: decompressor, file: file}, nil
}

// uncompressed closes the file with the decoder.
type uncompressed struct {
	*zstd.Decoder

	file *os.File
}

// Close ends reading.
func (u *uncompressed) Close() error {
	u.Decoder.Close()
	return u.file.Close()
}
