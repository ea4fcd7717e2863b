package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"

	"filippo.io/age"

	"github.com/caretaker-dev/caretaker/internal/archive/compress"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

const (
	testSegmentBytes = 1 << 20
	testSystem       = 7412345678901234567
)

// segment makes a segment with a true page header and content that seed decides.
const testPageBytes = 8192

func segment(timeline postgres.Timeline, number uint64, seed uint64) (name string, content []byte) {
	s := postgres.WALSegment{Timeline: timeline, Number: number}
	content = make([]byte, testSegmentBytes)
	r := rand.New(rand.NewPCG(seed, number))

	for i := longHeaderBytes; i+8 <= len(content); i += 64 {
		binary.LittleEndian.PutUint64(content[i:], r.Uint64())
	}

	binary.LittleEndian.PutUint16(content, 0xD110)
	binary.LittleEndian.PutUint16(content[offsetInfo:], flagLongHeader)
	binary.LittleEndian.PutUint32(content[4:], uint32(timeline))
	binary.LittleEndian.PutUint64(content[offsetPageAddress:], uint64(s.Start(testSegmentBytes)))
	binary.LittleEndian.PutUint64(content[offsetSystemID:], testSystem)
	binary.LittleEndian.PutUint32(content[offsetSegmentBytes:], testSegmentBytes)
	binary.LittleEndian.PutUint32(content[offsetPageBytes:], testPageBytes)

	for page := testPageBytes; page < len(content); page += testPageBytes {
		binary.LittleEndian.PutUint64(content[page+offsetPageAddress:], uint64(s.Start(testSegmentBytes))+uint64(page))
	}

	return s.Name(testSegmentBytes), content
}

func testIdentity(t *testing.T) *age.X25519Identity {
	t.Helper()

	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}

	return identity
}

func TestObjectsGiveBackTheirFile(t *testing.T) {
	identity, offline := testIdentity(t), testIdentity(t)
	name, content := segment(1, 5, 1)

	for _, algorithm := range []compress.Algorithm{compress.None, compress.Zstd, compress.Gzip, compress.LZ4, compress.Snappy} {
		for _, recipients := range [][]age.Recipient{nil, {identity.Recipient(), offline.Recipient()}} {
			object, err := encode(Header{Name: name, Compression: algorithm}, content, recipients)
			if err != nil {
				t.Fatal(err)
			}

			got, err := decode(nil, object, name, []age.Identity{identity})
			if err != nil || !bytes.Equal(got, content) {
				t.Errorf("%s, %d recipients: %v", algorithm, len(recipients), err)
			}

			if _, err := decode(nil, object, "000000010000000000000006", []age.Identity{identity}); !errors.Is(err, ErrDamaged) {
				t.Errorf("under another name: %v, want it noticed", err)
			}
		}
	}
}

// Every single flipped byte is noticed, wherever it is, and so is every cut.
func TestDamageIsNoticed(t *testing.T) {
	identity := testIdentity(t)
	name := postgres.HistoryName(3)
	content := []byte("1\t0/5000000\tno recovery target specified\n2\t0/9000000\tno recovery target specified\n")

	for _, recipients := range [][]age.Recipient{nil, {identity.Recipient()}} {
		for _, algorithm := range []compress.Algorithm{compress.None, compress.Zstd, compress.Gzip, compress.LZ4, compress.Snappy} {
			object, err := encode(Header{Name: name, Compression: algorithm}, content, recipients)
			if err != nil {
				t.Fatal(err)
			}

			for i := range object {
				flipped := bytes.Clone(object)
				flipped[i] ^= 0x10

				got, err := decode(nil, flipped, name, []age.Identity{identity})
				if err == nil && !bytes.Equal(got, content) {
					t.Fatalf("%s: byte %d flipped, and other content came out", algorithm, i)
				}

				// Compressed forms have bits that mean nothing, such as the time in gzip's header: the content is right then.
				if err == nil && (algorithm == compress.None || recipients != nil) {
					t.Errorf("%s, %d recipients: byte %d of %d flipped, and nobody noticed", algorithm, len(recipients), i, len(object))
				}

				if _, err := decode(nil, object[:i], name, []age.Identity{identity}); err == nil {
					t.Errorf("%s: cut at byte %d, and nobody noticed", algorithm, i)
				}
			}
		}
	}
}

func FuzzObject(f *testing.F) {
	name, content := segment(1, 5, 1)

	object, err := encode(Header{Name: name, Compression: compress.Zstd}, content[:8192], nil)
	if err != nil {
		f.Fatal(err)
	}

	f.Add(object)
	f.Add([]byte(objectMagic + " 1 2 00000000\n{}\n"))
	f.Fuzz(func(_ *testing.T, object []byte) {
		_, _ = decode(nil, object, name, nil) // must not panic, nor use up the memory
	})
}

func TestSegmentsAreWhatTheirNameSays(t *testing.T) {
	name, content := segment(1, 5, 1)

	if _, err := checkSegment(name, content); err != nil {
		t.Fatal(err)
	}

	if _, err := checkSegment("000000010000000000000006", content); err == nil {
		t.Error("a recycled segment was taken for the one that it will become")
	}

	if _, err := checkSegment(name, content[:len(content)-1]); err == nil {
		t.Error("a cut segment was taken")
	}

	if _, err := checkSegment(name, make([]byte, testSegmentBytes)); err == nil {
		t.Error("zeros were taken for a segment")
	}
}

// A year of names: 16 MiB and 64 MiB segments, over the ends of logs and over a change of timeline.
func TestFollowingNames(t *testing.T) {
	const mib = 1 << 20

	history := postgres.History{Timeline: 3, Entries: []postgres.HistoryEntry{
		{Parent: 1, Switch: 0x1_0280_0000}, {Parent: 2, Switch: 0x1_0700_0000},
	}}
	cases := []struct {
		name    string
		bytes   int64
		history postgres.History
		want    []string
	}{
		{"0000000100000000000000FE", 16 * mib, postgres.History{}, []string{"0000000100000000000000FF", "000000010000000100000000", "000000010000000100000001"}},
		{"00000001000000000000003E", 64 * mib, postgres.History{}, []string{"00000001000000000000003F", "000000010000000100000000", "000000010000000100000001"}},
		// The switch at 1/02800000 lies in segment 2: PostgreSQL asks for it on timeline 2. The one at 1/07000000 begins segment 7.
		{"000000010000000100000000", 16 * mib, history, []string{"000000010000000100000001", "000000020000000100000002", "000000020000000100000003"}},
		{"000000020000000100000005", 16 * mib, history, []string{"000000020000000100000006", "000000030000000100000007"}},
		{"000000050000000100000000", 16 * mib, history, []string{"000000050000000100000001"}},
	}
	for _, c := range cases {
		s, err := postgres.ParseWALName(c.name, c.bytes)
		if err != nil {
			t.Fatal(err)
		}

		got := following(c.history, s, c.bytes, len(c.want))
		for i := range c.want {
			if got[i] != c.want[i] {
				t.Errorf("after %s: %v, want %v", c.name, got, c.want)

				break
			}
		}
	}
}

// A busy server's year at 16 MiB a second: every name follows the one before it, sorts after it and is read back.
func TestAYearOfNames(t *testing.T) {
	for _, size := range []int64{1 << 20, 16 << 20, 64 << 20, 1 << 30} {
		s := postgres.WALSegment{Timeline: 1}
		before := ""

		for i := range 2_000_000 {
			if i%300_000 == 299_999 {
				s.Timeline++
			}

			// Most of the year is passed in steps that hit the ends of logs.
			if i > 10_000 {
				s.Number += 14
			}

			name := s.Name(size)
			if name <= before {
				t.Fatalf("%s does not sort after %s", name, before)
			}

			if back, err := postgres.ParseWALName(name, size); err != nil || back != s {
				t.Fatalf("%s reads as %+v: %v", name, back, err)
			}

			before, s = name, s.Next()
		}
	}
}

// What is copied to another store is checked as far as can be: without an identity, from outside.
func TestCheck(t *testing.T) {
	identity, other := testIdentity(t), testIdentity(t)
	name, content := segment(1, 5, 1)

	object := func(recipients ...age.Recipient) []byte {
		encoded, err := encode(Header{Name: name, Compression: compress.Zstd}, content, recipients)
		if err != nil {
			t.Fatal(err)
		}

		return encoded
	}

	flipped := func(object []byte) []byte {
		object = bytes.Clone(object)
		object[len(object)-100] ^= 1

		return object
	}

	for what, test := range map[string]struct {
		object     []byte
		name       string
		identities []age.Identity
		isDamaged  bool
	}{
		"plain":                        {object(), name, nil, false},
		"plain, flipped":               {flipped(object()), name, nil, true},
		"another name":                 {object(), "000000010000000000000006", nil, true},
		"sealed, opened":               {object(identity.Recipient()), name, []age.Identity{identity}, false},
		"sealed, opened, flipped":      {flipped(object(identity.Recipient())), name, []age.Identity{identity}, true},
		"sealed":                       {object(identity.Recipient()), name, nil, false},
		"sealed, cut off":              {object(identity.Recipient())[:1000], name, nil, true},
		"sealed, another name":         {object(identity.Recipient()), "000000010000000000000006", nil, true},
		"no object of ours":            {[]byte("hello"), name, nil, true},
		"sealed, flipped: not noticed": {flipped(object(identity.Recipient())), name, nil, false},
		"sealed for somebody else":     {object(identity.Recipient()), name, []age.Identity{other}, false},
	} {
		if err := Check(test.object, test.name, test.identities); errors.Is(err, ErrDamaged) != test.isDamaged || !test.isDamaged && err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}
