package crypt

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
)

const (
	// FrameBytes is how much plain data Seal puts into one frame.
	FrameBytes = 1 << 20
	// FrameOverhead is what a frame is longer than its plain data: the nonce and the tag.
	FrameOverhead = 12 + 16

	keyBytes = 32
	// maxWrapped bounds what Unwrap reads: dozens of recipients.
	maxWrapped = 64 << 10
)

var (
	// ErrTampered says that data are not what was sealed under that name and index.
	ErrTampered = errors.New("the data are damaged or not of this object: their seal is broken")
	// ErrNoIdentity says that no identity at hand opens a data key.
	ErrNoIdentity = errors.New("none of the age identities opens this data key")
)

// ParseRecipients reads age recipients, one a line; # begins a comment. There must be one.
func ParseRecipients(text string) ([]age.Recipient, error) {
	recipients, err := age.ParseRecipients(strings.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("age recipients: %w", err)
	}

	return recipients, nil
}

// ParseIdentities reads age identities (secret keys), one a line; # begins a comment. There must be one.
func ParseIdentities(text string) ([]age.Identity, error) {
	identities, err := age.ParseIdentities(strings.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("age identities: %w", err)
	}

	return identities, nil
}

// Key seals and opens frames. It may be used concurrently.
type Key struct {
	aead cipher.AEAD
}

// NewKey makes a data key, and its wrapped form to store beside what it seals.
func NewKey(recipients []age.Recipient) (key *Key, wrapped []byte, err error) {
	if len(recipients) == 0 {
		return nil, nil, errors.New("encryption needs at least one age recipient")
	}

	secret := make([]byte, keyBytes)
	if _, err := rand.Read(secret); err != nil {
		return nil, nil, fmt.Errorf("make a data key: %w", err)
	}

	var out bytes.Buffer

	writer, err := age.Encrypt(&out, recipients...)
	if err != nil {
		return nil, nil, fmt.Errorf("wrap a data key: %w", err)
	}

	_, err = writer.Write(secret)
	if err = errors.Join(err, writer.Close()); err != nil {
		return nil, nil, fmt.Errorf("wrap a data key: %w", err)
	}

	key, err = newKey(secret)

	return key, out.Bytes(), err
}

// Unwrap opens a wrapped data key. The error wraps ErrNoIdentity if it is for others.
func Unwrap(wrapped []byte, identities []age.Identity) (*Key, error) {
	if len(identities) == 0 {
		return nil, fmt.Errorf("%w: there are no identities", ErrNoIdentity)
	}

	reader, err := age.Decrypt(io.LimitReader(bytes.NewReader(wrapped), maxWrapped), identities...)
	if err != nil {
		if noMatch := (*age.NoIdentityMatchError)(nil); errors.As(err, &noMatch) {
			return nil, ErrNoIdentity
		}

		return nil, fmt.Errorf("unwrap a data key: %w", err)
	}

	secret, err := io.ReadAll(reader)
	if err != nil {
		return nil, fmt.Errorf("unwrap a data key: %w", err)
	}

	return newKey(secret)
}

func newKey(secret []byte) (*Key, error) {
	if len(secret) != keyBytes {
		return nil, fmt.Errorf("a data key has %d bytes, want %d", len(secret), keyBytes)
	}

	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, fmt.Errorf("data key: %w", err)
	}

	// The nonce is drawn at random and stored before the data: safe for 2^32 frames, 4 PiB, of one key.
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("data key: %w", err)
	}

	return &Key{aead: aead}, nil
}

// Frame says which frame of which object is meant. Object names must differ within one key: "backup/pack", a segment's name.
type Frame struct {
	Object string
	Index  uint64
	// Last frame of its object.
	Last bool
}

func (f Frame) additional() []byte {
	out := make([]byte, 0, len(f.Object)+9)
	out = binary.BigEndian.AppendUint64(out, f.Index)

	if f.Last {
		out = append(out, 1)
	} else {
		out = append(out, 0)
	}

	return append(out, f.Object...)
}

// SealFrame appends a frame of plain to dst: FrameOverhead bytes longer than it.
func (k *Key) SealFrame(dst, plain []byte, frame Frame) []byte {
	return k.aead.Seal(dst, nil, plain, frame.additional()) //nolint:gosec // it draws the nonce itself
}

// OpenFrame appends what a frame holds to dst.
func (k *Key) OpenFrame(dst, sealed []byte, frame Frame) ([]byte, error) {
	out, err := k.aead.Open(dst, nil, sealed, frame.additional())
	if err != nil {
		return dst, fmt.Errorf("%s, frame %d: %w", frame.Object, frame.Index, ErrTampered)
	}

	return out, nil
}

// Seal appends all of plain to dst, in frames of FrameBytes; the last is shorter, and empty for empty data.
func (k *Key) Seal(dst, plain []byte, object string) []byte {
	for index := uint64(0); ; index++ {
		n := min(len(plain), FrameBytes)
		isLast := n == len(plain)
		dst = k.SealFrame(dst, plain[:n], Frame{Object: object, Index: index, Last: isLast})
		plain = plain[n:]

		if isLast {
			return dst
		}
	}
}

// Open appends to dst what Seal sealed under that name.
func (k *Key) Open(dst, sealed []byte, object string) ([]byte, error) {
	for index := uint64(0); ; index++ {
		n := min(len(sealed), FrameBytes+FrameOverhead)
		isLast := n == len(sealed)

		out, err := k.OpenFrame(dst, sealed[:n], Frame{Object: object, Index: index, Last: isLast})
		if err != nil {
			return dst, err
		}

		dst, sealed = out, sealed[n:]

		if isLast {
			return dst, nil
		}
	}
}

// SealedBytes is how long Seal's result is.
func SealedBytes(plain int64) int64 {
	frames := max(1, (plain+FrameBytes-1)/FrameBytes)

	return plain + frames*FrameOverhead
}
