package wal

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	"filippo.io/age"

	"github.com/caretaker-dev/caretaker/internal/archive/compress"
	"github.com/caretaker-dev/caretaker/internal/archive/crypt"
)

// An object of WAL is one line "CARETAKER-WAL 1 <bytes of JSON> <CRC-32C of JSON>", the header in JSON, a line feed, and the
// payload: compressed, then sealed. Without encryption ordinary tools can read it:
//
//	tail -n +3 OBJECT | zstd -d
const (
	objectMagic = "CARETAKER-WAL"
	// headerProbe is what is read to see a header: more than one with a dozen recipients has.
	headerProbe = 8 << 10
	// maxHeader bounds what a broken object can make us read.
	maxHeader = 128 << 10
	// maxPlain is PostgreSQL's largest segment.
	maxPlain = 1 << 30
)

var (
	// ErrDamaged says that an object is not what was archived.
	ErrDamaged = errors.New("the archived object is damaged")
	// ErrDifferent says that the archive holds other bytes under the same name.
	ErrDifferent = errors.New("the archive holds a different file of this name")
)

// Header describes the payload of an object.
type Header struct {
	// Name of the file in pg_wal.
	Name string `json:"name"`
	// SystemIdentifier of the cluster whose WAL it is; 0 for a file that does not say it.
	SystemIdentifier uint64 `json:"systemIdentifier,omitempty,string"`
	// Compression of the payload.
	Compression compress.Algorithm `json:"compression"`
	// Key is the payload's data key, wrapped for age recipients. Empty: not encrypted.
	Key []byte `json:"key,omitempty"`
	// Bytes and SHA256 of the file itself.
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
	// StoredBytes is the payload's length.
	StoredBytes int64 `json:"storedBytes"`
}

func castagnoli(data []byte) uint32 { return crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)) }

func sumOf(content []byte) string {
	sum := sha256.Sum256(content)

	return hex.EncodeToString(sum[:])
}

// encode makes the object of a file. header has Name, SystemIdentifier and Compression; the rest is filled in.
func encode(header Header, content []byte, recipients []age.Recipient) ([]byte, error) {
	header.Bytes = int64(len(content))
	if header.SHA256 == "" {
		header.SHA256 = sumOf(content)
	}

	// One allocation: compressed WAL is rarely larger than WAL, and then only by a little.
	packed, err := header.Compression.Compress(nil, content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", header.Name, err)
	}

	if len(recipients) > 0 {
		key, wrapped, err := crypt.NewKey(recipients)
		if err != nil {
			return nil, err
		}

		header.Key = wrapped
		packed = key.Seal(make([]byte, 0, crypt.SealedBytes(int64(len(packed)))), packed, header.Name)
	}

	header.StoredBytes = int64(len(packed))

	text, err := json.Marshal(header)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", header.Name, err)
	}

	object := make([]byte, 0, len(text)+len(packed)+64)
	object = fmt.Appendf(object, "%s 1 %d %08x\n", objectMagic, len(text), castagnoli(text))
	object = append(append(object, text...), '\n')

	return append(object, packed...), nil
}

// errShort says that the header is longer than what was read.
var errShort = errors.New("more of the object is needed")

// parseHeader reads the beginning of an object, and says where the payload begins.
func parseHeader(object []byte) (header Header, payloadAt int, err error) {
	line, _, ok := bytes.Cut(object[:min(len(object), 64)], []byte("\n"))
	fields := strings.Fields(string(line))

	if !ok || len(fields) != 4 || fields[0] != objectMagic {
		return header, 0, fmt.Errorf("%w: it does not begin as one of ours", ErrDamaged)
	}

	if fields[1] != "1" {
		return header, 0, fmt.Errorf("the object's format is %q: a newer version of this program wrote it", fields[1])
	}

	length, err := strconv.Atoi(fields[2])
	if err != nil || length <= 0 || length > maxHeader {
		return header, 0, fmt.Errorf("%w: the header's length is %q", ErrDamaged, fields[2])
	}

	start := len(line) + 1
	if len(object) < start+length+1 {
		return header, 0, errShort
	}

	text := object[start : start+length]
	if fmt.Sprintf("%08x", castagnoli(text)) != fields[3] || object[start+length] != '\n' {
		return header, 0, fmt.Errorf("%w: the header's checksum is wrong", ErrDamaged)
	}

	if err := json.Unmarshal(text, &header); err != nil {
		return header, 0, fmt.Errorf("%w: its header: %w", ErrDamaged, err)
	}

	if header.Bytes < 0 || header.Bytes > maxPlain {
		return header, 0, fmt.Errorf("%w: it claims to hold %d bytes", ErrDamaged, header.Bytes)
	}

	return header, start + length + 1, nil
}

// decode gives the file that an object holds, checked. dst may have room for it.
func decode(dst, object []byte, name string, identities []age.Identity) ([]byte, error) {
	header, at, err := parseHeader(object)
	if errors.Is(err, errShort) {
		err = fmt.Errorf("%w: it is cut off", ErrDamaged)
	}

	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}

	payload := object[at:]

	switch {
	case header.Name != name:
		return nil, fmt.Errorf("%s: %w: it is %s", name, ErrDamaged, header.Name)
	case header.StoredBytes != int64(len(payload)):
		return nil, fmt.Errorf("%s: %w: %d of %d bytes are there", name, ErrDamaged, len(payload), header.StoredBytes)
	}

	if len(header.Key) > 0 {
		key, err := crypt.Unwrap(header.Key, identities)
		if err != nil {
			return nil, fmt.Errorf("%s is encrypted: %w", name, err)
		}

		if payload, err = key.Open(make([]byte, 0, len(payload)), payload, name); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
	}

	content, err := header.Compression.Decompress(dst, payload, int(header.Bytes))
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", name, ErrDamaged, err)
	}

	if int64(len(content)) != header.Bytes || sumOf(content) != header.SHA256 {
		return nil, fmt.Errorf("%s: %w: its checksum is wrong", name, ErrDamaged)
	}

	return content, nil
}
