package objectstore

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
)

// Capabilities are what Probe found out.
type Capabilities struct {
	// PutIfAbsent really refuses to replace an object. Some stores take the condition and ignore it.
	PutIfAbsent bool `json:"putIfAbsent"`
	// Delete is allowed. Without it nothing can expire, which may be meant: object lock.
	Delete bool `json:"delete"`
}

// Probe writes, reads, lists and removes an object under "probe/" and says what the store can do. An error says what it
// cannot do that is needed; it wraps what the operation's error wraps.
func Probe(ctx context.Context, store Store) (found Capabilities, err error) {
	key := "probe/" + rand.Text()
	first, second := []byte("first "+key), []byte("second "+key)

	if err := store.Put(ctx, key, first); err != nil {
		return found, fmt.Errorf("write: %w", err)
	}

	defer func() {
		deleteErr := store.Delete(context.WithoutCancel(ctx), key)
		found.Delete = deleteErr == nil

		if deleteErr != nil && !errors.Is(deleteErr, ErrDenied) && err == nil {
			err = fmt.Errorf("delete: %w", deleteErr)
		}
	}()

	err = store.PutIfAbsent(ctx, key, second)
	if err != nil && !errors.Is(err, ErrExists) {
		return found, fmt.Errorf("write if absent: %w", err)
	}

	isRefused := err != nil

	content, err := Get(ctx, store, key, 1024)
	if err != nil {
		return found, fmt.Errorf("read: %w", err)
	}

	found.PutIfAbsent = isRefused && bytes.Equal(content, first)

	if !isRefused && !bytes.Equal(content, second) || isRefused && !bytes.Equal(content, first) {
		return found, errors.New("the store gave back something else than was written last: its reads are not consistent")
	}

	isListed := false

	for info, err := range store.List(ctx, key, "") {
		if err != nil {
			return found, fmt.Errorf("list: %w", err)
		}

		isListed = isListed || info.Key == key
	}

	if !isListed {
		return found, errors.New("the store does not list an object that was just written: its lists are not consistent")
	}

	return found, nil
}
