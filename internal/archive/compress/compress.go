package compress

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// Algorithm is how something is compressed. It is stored beside what it compressed.
type Algorithm string

// The compressions. Default is taken where none is named.
const (
	None    Algorithm = "none"
	Zstd    Algorithm = "zstd"
	Gzip    Algorithm = "gzip"
	LZ4     Algorithm = "lz4"
	Snappy  Algorithm = "snappy"
	Default           = Zstd
)

// ErrTooLarge says that more came out of a decompression than was asked for.
var ErrTooLarge = errors.New("more data than the object's header says")

// Parse reads a setting; empty is Default.
func Parse(name string) (Algorithm, error) {
	switch a := Algorithm(name); a {
	case "":
		return Default, nil
	case None, Zstd, Gzip, LZ4, Snappy:
		return a, nil
	case "bzip2", "xz":
		return "", fmt.Errorf("compression %q is too slow for WAL and backups, and is not offered: use zstd, which is as small at its higher levels, or gzip", name)
	default:
		return "", fmt.Errorf("compression %q is not known: use zstd, gzip, lz4, snappy or none", name)
	}
}

// The coders are costly to make and free to use again.
//
//nolint:gochecknoglobals // pools
var (
	zstdEncoders = sync.Pool{New: func() any {
		e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
		if err != nil {
			panic(err) // our own options
		}

		return e
	}}
	zstdDecoders = sync.Pool{New: func() any {
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(true))
		if err != nil {
			panic(err) // our own options
		}

		return d
	}}
	gzipWriters = sync.Pool{New: func() any {
		w, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
		if err != nil {
			panic(err) // our own level
		}

		return w
	}}
)

// Compress appends the compressed src to dst and returns it.
func (a Algorithm) Compress(dst, src []byte) ([]byte, error) {
	switch a {
	case None:
		return append(dst, src...), nil
	case Zstd:
		encoder := zstdEncoders.Get().(*zstd.Encoder) //nolint:forcetypeassert // our own pool
		defer zstdEncoders.Put(encoder)

		return encoder.EncodeAll(src, dst), nil
	case Gzip:
		writer := gzipWriters.Get().(*gzip.Writer) //nolint:forcetypeassert // our own pool
		defer gzipWriters.Put(writer)

		buffer := bytes.NewBuffer(dst)
		writer.Reset(buffer)

		return writeAll(buffer, writer, src)
	case LZ4, Snappy:
		buffer := bytes.NewBuffer(dst)

		writer, err := a.NewWriter(buffer)
		if err != nil {
			return dst, err
		}

		return writeAll(buffer, writer, src)
	default:
		return dst, fmt.Errorf("compression %q is not known", a)
	}
}

func writeAll(buffer *bytes.Buffer, writer io.WriteCloser, src []byte) ([]byte, error) {
	_, err := writer.Write(src)
	if err = errors.Join(err, writer.Close()); err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}

	return buffer.Bytes(), nil
}

// Decompress appends what src holds to dst, at most limit bytes of it: more is ErrTooLarge. So a broken or forged object cannot
// use up the memory.
func (a Algorithm) Decompress(dst, src []byte, limit int) ([]byte, error) {
	switch a {
	case None:
		if len(src) > limit {
			return dst, ErrTooLarge
		}

		return append(dst, src...), nil
	case Zstd:
		return decompressZstd(dst, src, limit)
	case Gzip, LZ4, Snappy:
		reader, err := a.NewReader(bytes.NewReader(src))
		if err != nil {
			return dst, err
		}

		buffer := bytes.NewBuffer(dst)
		n, err := io.Copy(buffer, io.LimitReader(reader, int64(limit)+1))

		if err = errors.Join(err, reader.Close()); err != nil {
			return dst, fmt.Errorf("decompress %s: %w", a, err)
		}

		if n > int64(limit) {
			return dst, ErrTooLarge
		}

		return buffer.Bytes(), nil
	default:
		return dst, fmt.Errorf("compression %q is not known", a)
	}
}

// decompressZstd never lets the decoder grow beyond limit: its capacity is the limit.
func decompressZstd(dst, src []byte, limit int) ([]byte, error) {
	decoder := zstdDecoders.Get().(*zstd.Decoder) //nolint:forcetypeassert // our own pool
	defer zstdDecoders.Put(decoder)

	var header zstd.Header
	if err := header.Decode(src); err == nil && header.HasFCS && header.FrameContentSize > uint64(limit) { //nolint:gosec // a limit is positive
		return dst, ErrTooLarge
	}

	want := len(dst) + limit
	if cap(dst) < want {
		grown := make([]byte, len(dst), want)
		copy(grown, dst)
		dst = grown
	}

	out, err := decoder.DecodeAll(src, dst[:len(dst):want])
	if errors.Is(err, zstd.ErrDecoderSizeExceeded) {
		return dst, ErrTooLarge
	}

	if err != nil {
		return dst, fmt.Errorf("decompress zstd: %w", err)
	}

	return out, nil
}

// NewWriter compresses what is written into w. Close ends the stream; w stays open.
func (a Algorithm) NewWriter(w io.Writer) (io.WriteCloser, error) {
	switch a {
	case None:
		return nopWriteCloser{w}, nil
	case Zstd:
		return zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	case Gzip:
		return gzip.NewWriterLevel(w, gzip.BestSpeed)
	case LZ4:
		return lz4.NewWriter(w), nil
	case Snappy:
		return s2.NewWriter(w, s2.WriterSnappyCompat(), s2.WriterConcurrency(1)), nil
	default:
		return nil, fmt.Errorf("compression %q is not known", a)
	}
}

type nopWriteCloser struct{ io.Writer }

func (nopWriteCloser) Close() error { return nil }

// NewReader decompresses r. Close frees the decoder; r stays open.
func (a Algorithm) NewReader(r io.Reader) (io.ReadCloser, error) {
	switch a {
	case None:
		return io.NopCloser(r), nil
	case Zstd:
		decoder, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(1<<30))
		if err != nil {
			return nil, fmt.Errorf("decompress zstd: %w", err)
		}

		return decoder.IOReadCloser(), nil
	case Gzip:
		return gzip.NewReader(r)
	case LZ4:
		return io.NopCloser(lz4.NewReader(r)), nil
	case Snappy:
		return io.NopCloser(s2.NewReader(r)), nil
	default:
		return nil, fmt.Errorf("compression %q is not known", a)
	}
}
