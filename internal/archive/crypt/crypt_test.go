package crypt

import (
	"bytes"
	"errors"
	"testing"

	"filippo.io/age"
)

func newIdentity(t *testing.T) *age.X25519Identity {
	t.Helper()

	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}

	return identity
}

func TestEveryRecipientOpensAndNobodyElse(t *testing.T) {
	online, offline, stranger := newIdentity(t), newIdentity(t), newIdentity(t)

	key, wrapped, err := NewKey([]age.Recipient{online.Recipient(), offline.Recipient()})
	if err != nil {
		t.Fatal(err)
	}

	for _, size := range []int{0, 1, FrameBytes - 1, FrameBytes, FrameBytes + 1, 3 * FrameBytes} {
		plain := bytes.Repeat([]byte{7}, size)
		sealed := key.Seal([]byte("kept"), plain, "a")[4:]

		if int64(len(sealed)) != SealedBytes(int64(size)) {
			t.Errorf("%d bytes sealed in %d, want %d", size, len(sealed), SealedBytes(int64(size)))
		}

		for _, identity := range []age.Identity{online, offline} {
			own, err := Unwrap(wrapped, []age.Identity{stranger, identity})
			if err != nil {
				t.Fatal(err)
			}

			if got, err := own.Open(nil, sealed, "a"); err != nil || !bytes.Equal(got, plain) {
				t.Errorf("%d bytes: %v", size, err)
			}
		}
	}

	if _, err := Unwrap(wrapped, []age.Identity{stranger}); !errors.Is(err, ErrNoIdentity) {
		t.Errorf("a stranger's identity: %v", err)
	}
}

func TestNothingCanBeChangedMovedOrCut(t *testing.T) {
	identity := newIdentity(t)

	key, _, err := NewKey([]age.Recipient{identity.Recipient()})
	if err != nil {
		t.Fatal(err)
	}

	const whole = FrameBytes + FrameOverhead

	plain := bytes.Repeat([]byte("abcdefgh"), 3*FrameBytes/8)
	sealed := key.Seal(nil, plain, "a")

	changes := map[string]func([]byte) []byte{
		"a bit in the nonce":    func(b []byte) []byte { b[3] ^= 1; return b },
		"a bit in the data":     func(b []byte) []byte { b[whole+500] ^= 1; return b },
		"a bit in the last tag": func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
		"the last frame gone":   func(b []byte) []byte { return b[:2*whole] },
		"a byte gone":           func(b []byte) []byte { return b[:len(b)-1] },
		"everything gone":       func([]byte) []byte { return nil },
		"frames swapped": func(b []byte) []byte {
			return append(append(bytes.Clone(b[whole:2*whole]), b[:whole]...), b[2*whole:]...)
		},
		"a frame twice": func(b []byte) []byte { return append(bytes.Clone(b[:whole]), b...) },
	}
	for what, change := range changes {
		if _, err := key.Open(nil, change(bytes.Clone(sealed)), "a"); !errors.Is(err, ErrTampered) {
			t.Errorf("%s: %v, want it noticed", what, err)
		}
	}

	if _, err := key.Open(nil, sealed, "b"); !errors.Is(err, ErrTampered) {
		t.Errorf("another object's data: %v, want it noticed", err)
	}
}
