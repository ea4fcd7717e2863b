package storeconfig

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

// ErrInvalid is a configuration or a key that cannot work.
var ErrInvalid = errors.New("invalid")

// MaxKeyBytes is the longest key, prefix included, that all stores take.
const MaxKeyBytes = 1024

// TemporaryMark is in the names of files that are still being written, where the store is a directory, and in no key. A run
// that is killed leaves some; they are no objects, and are removed when the store is opened an hour later or more.
const TemporaryMark = ".caretaker-tmp-"

// CheckKey says what is wrong with a key. All stores check it, so that what one store takes, each takes.
func CheckKey(key string) error {
	switch {
	case key == "" || len(key) > MaxKeyBytes:
		return fmt.Errorf("%w key %q: want 1 to %d bytes", ErrInvalid, key, MaxKeyBytes)
	case path.Clean(key) != key || strings.HasPrefix(key, "/") || key == "." || strings.HasPrefix(key, ".."):
		return fmt.Errorf("%w key %q: want a relative path without empty, \".\" or \"..\" parts", ErrInvalid, key)
	case strings.Contains(key, TemporaryMark) || strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' || r == 0xfffd }):
		return fmt.Errorf("%w key %q: control characters, backslashes and %q are not allowed", ErrInvalid, key, TemporaryMark)
	}

	return nil
}
