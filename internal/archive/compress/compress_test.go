package compress

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
)

func sample(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	out := make([]byte, n)

	for i := range out {
		out[i] = byte(r.IntN(256))
		if r.IntN(4) > 0 && i > 100 {
			out[i] = out[i-100]
		}
	}

	return out
}

func TestEveryAlgorithmGivesBackWhatItTook(t *testing.T) {
	for _, a := range []Algorithm{None, Zstd, Gzip, LZ4, Snappy} {
		for _, size := range []int{0, 1, 511, 1 << 20, 3<<20 + 17} {
			plain := sample(size)

			packed, err := a.Compress([]byte("kept"), plain)
			if err != nil {
				t.Fatalf("%s: %v", a, err)
			}

			got, err := a.Decompress([]byte("also kept"), packed[4:], size)
			if err != nil {
				t.Fatalf("%s, %d bytes: %v", a, size, err)
			}

			if !bytes.HasPrefix(packed, []byte("kept")) || !bytes.Equal(got, append([]byte("also kept"), plain...)) {
				t.Errorf("%s, %d bytes: not what went in", a, size)
			}

			var stream bytes.Buffer

			writer, err := a.NewWriter(&stream)
			if err != nil {
				t.Fatal(err)
			}

			if _, err := writer.Write(plain); err != nil || writer.Close() != nil {
				t.Fatal(err)
			}

			reader, err := a.NewReader(&stream)
			if err != nil {
				t.Fatal(err)
			}

			if got, err := io.ReadAll(reader); err != nil || !bytes.Equal(got, plain) {
				t.Errorf("%s as a stream, %d bytes: %v", a, size, err)
			}
		}
	}
}

func TestDecompressionStopsAtItsLimit(t *testing.T) {
	for _, a := range []Algorithm{None, Zstd, Gzip, LZ4, Snappy} {
		packed, err := a.Compress(nil, make([]byte, 8<<20))
		if err != nil {
			t.Fatal(err)
		}

		if _, err := a.Decompress(nil, packed, 1<<20); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: %v, want it refused as too large", a, err)
		}
	}
}

func TestSlowCompressionsAreRefusedWithAnAlternative(t *testing.T) {
	for _, name := range []string{"bzip2", "xz", "rar"} {
		if a, err := Parse(name); err == nil {
			t.Errorf("%s was taken as %s", name, a)
		}
	}

	if a, err := Parse(""); err != nil || a != Zstd {
		t.Errorf("nothing named: %s, %v", a, err)
	}
}
