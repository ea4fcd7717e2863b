package objectstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	"github.com/caretaker-dev/caretaker/internal/storeconfig"
)

// What a store may answer. Errors wrap at most one of them; an error without one may go away by itself (the network, an
// overloaded store), and Open's stores have retried it for a while already.
var (
	// ErrNotFound is the store's own word that there is no such object.
	ErrNotFound = errors.New("no such object")
	// ErrNoBucket is the store's own word that there is no such bucket or container: it says nothing about objects. Head of S3 and
	// of GCS cannot tell it from ErrNotFound; GetRange of S3 and Azure, and List, can.
	ErrNoBucket = errors.New("no such bucket")
	// ErrExists is PutIfAbsent's refusal: an object is there already.
	ErrExists = errors.New("the object exists already")
	// ErrDenied is a refusal that only a person ends: credentials, permissions, a clock that is wrong.
	ErrDenied = errors.New("the store refuses access")
	// ErrFull is a store without room, or over its quota.
	ErrFull = errors.New("the store is full")
	// ErrInvalid is a configuration or a key that cannot work.
	ErrInvalid = storeconfig.ErrInvalid
)

// Info describes an object.
type Info struct {
	// Key is relative to the store's prefix.
	Key string `json:"key"`
	// Size in bytes.
	Size int64 `json:"size"`
	// ETag changes when the content does; its form is the store's own. Empty if the store has none.
	ETag string `json:"etag,omitempty"`
	// Modified is by the store's clock.
	Modified time.Time `json:"modified"`
}

// Store holds objects under keys: relative paths with slashes, "wal/00000001/…". Methods may be called concurrently.
// A write that returned nil is durable, and all later reads and lists see it (every store here promises that).
// Memory: an object is written from one slice; keep objects to some tens of MiB.
type Store interface {
	// Put writes an object, replacing one that is there. Readers see the old one or the new one, never a mixture.
	// After an error the object may be there or not, but never half.
	Put(ctx context.Context, key string, body []byte) error

	// PutIfAbsent writes an object only if there is none; otherwise the error wraps ErrExists, and nothing has changed.
	// A store that ignores the condition is found by Probe. After a retry whose first attempt may have been applied, the
	// object that is there is compared: if it is body, that is success.
	PutIfAbsent(ctx context.Context, key string, body []byte) error

	// GetRange reads length bytes from offset on; to the end with length < 0. Fewer bytes are no error if the object ends
	// there; an offset at or behind the end gives an empty reader or an error that wraps ErrInvalid, by the store.
	// A connection that breaks or stalls meanwhile is resumed. The caller closes the reader, and ctx must live until then.
	GetRange(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error)

	// Head says what is known of an object.
	Head(ctx context.Context, key string) (Info, error)

	// List yields the objects whose keys begin with prefix, which need not end at a slash, in the order of their bytes,
	// those after startAfter only ("": all). It ends after the first error.
	List(ctx context.Context, prefix, startAfter string) iter.Seq2[Info, error]

	// Delete removes an object. One that is not there is no error.
	Delete(ctx context.Context, key string) error
}

// Get reads a whole object into memory. It fails if the object is larger than limit bytes, and does not read further then.
func Get(ctx context.Context, store Store, key string, limit int64) ([]byte, error) {
	return GetInto(ctx, store, key, limit, nil)
}

// GetInto is Get into the memory of dst, or into more where it does not suffice. What dst held is lost.
func GetInto(ctx context.Context, store Store, key string, limit int64, dst []byte) (body []byte, err error) {
	reader, err := store.GetRange(ctx, key, 0, -1)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, reader.Close()) }()

	buffer := bytes.NewBuffer(dst[:0])
	if _, err := buffer.ReadFrom(io.LimitReader(reader, limit+1)); err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}

	if int64(buffer.Len()) > limit {
		return nil, fmt.Errorf("%s is larger than %d bytes", key, limit)
	}

	return buffer.Bytes(), nil
}

// Within gives a store whose keys lie under prefix of another.
func Within(store Store, prefix string) Store {
	prefix = strings.Trim(prefix, "/")
	if prefix == "" {
		return store
	}

	return within{store: store, prefix: prefix + "/"}
}

type within struct {
	store  Store
	prefix string
}

func (w within) Put(ctx context.Context, key string, body []byte) error {
	return w.store.Put(ctx, w.prefix+key, body)
}

func (w within) PutIfAbsent(ctx context.Context, key string, body []byte) error {
	return w.store.PutIfAbsent(ctx, w.prefix+key, body)
}

func (w within) GetRange(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	return w.store.GetRange(ctx, w.prefix+key, offset, length)
}

func (w within) Head(ctx context.Context, key string) (Info, error) {
	info, err := w.store.Head(ctx, w.prefix+key)
	info.Key = key

	return info, err
}

func (w within) List(ctx context.Context, prefix, startAfter string) iter.Seq2[Info, error] {
	if startAfter != "" {
		startAfter = w.prefix + startAfter
	}

	return func(yield func(Info, error) bool) {
		for info, err := range w.store.List(ctx, w.prefix+prefix, startAfter) {
			info.Key = strings.TrimPrefix(info.Key, w.prefix)
			if !yield(info, err) {
				return
			}
		}
	}
}

func (w within) Delete(ctx context.Context, key string) error {
	return w.store.Delete(ctx, w.prefix+key)
}
