package dump

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"

	"filippo.io/age"
	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/archive/compress"
	"github.com/caretaker-dev/caretaker/internal/archive/crypt"
	"github.com/caretaker-dev/caretaker/internal/objectstore"
)

const (
	// chunkBytes of the stream go into one object, and so many are sent at a time. The memory needed is about three times both.
	chunkBytes = 8 << 20
	parallel   = 3
)

// DamagedError says that an object is not what was stored.
type DamagedError struct{ Key, Reason string }

// Error names the object.
func (e *DamagedError) Error() string {
	return fmt.Sprintf("%s is damaged: %s; restore another dump", e.Key, e.Reason)
}

// TakeOptions of Take.
type TakeOptions struct {
	Store objectstore.Store
	// About has what the manifest says of the source: Name, Engine, Host, Database, Program, Tool.
	About Manifest
	// Recipients to encrypt for; none: not encrypted by us.
	Recipients []age.Recipient
	Clock      clock.PassiveClock
	// Produce writes the dump. If it fails, there is no dump.
	Produce func(ctx context.Context, w io.Writer) error
}

// Take stores what Produce writes. The dump exists once it returns without an error, and until then not at all.
func Take(ctx context.Context, o TakeOptions) (*Manifest, error) {
	m := o.About
	m.Format, m.Compression = format, compress.Default
	m.Started = o.Clock.Now().UTC()
	m.ID = newID(m.Started)

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	w := &writer{ctx: ctx, store: o.Store, id: m.ID, whole: sha256.New(), slots: make(chan struct{}, parallel)}

	var err error

	if len(o.Recipients) > 0 {
		if w.key, m.Key, err = crypt.NewKey(o.Recipients); err != nil {
			return nil, err
		}

		m.key = w.key
	}

	err = o.Produce(ctx, w)
	if err == nil {
		err = w.flush()
	}

	if err != nil {
		cancel()
	}

	w.sending.Wait()

	// What could not be sent is why the program could not go on.
	if failure := w.failure(); failure != nil {
		err = failure
	}

	if err == nil && w.bytes == 0 {
		err = errors.New("the dump program succeeded, and wrote nothing")
	}

	if err == nil {
		err = w.finish(ctx, &m, o.Clock)
	}

	if err == nil {
		return &m, nil
	}

	left := removeData(context.WithoutCancel(ctx), o.Store, m.ID)
	if w.failure() != nil {
		left = nil // of the same store the same, once more; what it has of the dump is swept in time
	}

	return nil, errors.Join(err, left)
}

// writer cuts the stream into chunks and sends them.
type writer struct {
	ctx   context.Context //nolint:containedctx // an io.Writer has no other way to be given one
	store objectstore.Store
	id    string
	key   *crypt.Key

	buffer []byte
	bytes  int64
	count  int
	whole  hash.Hash

	slots   chan struct{}
	sending sync.WaitGroup

	mu     sync.Mutex
	chunks map[int]Chunk
	err    error
}

func (w *writer) failure() error {
	w.mu.Lock()
	defer w.mu.Unlock()

	return w.err
}

// Write takes a part of the stream. It fails once a chunk could not be sent.
func (w *writer) Write(p []byte) (int, error) {
	if err := w.failure(); err != nil {
		return 0, err
	}

	w.whole.Write(p)
	w.bytes += int64(len(p))

	for rest := p; len(rest) > 0; {
		n := min(len(rest), chunkBytes-len(w.buffer))
		w.buffer, rest = append(w.buffer, rest[:n]...), rest[n:]

		if len(w.buffer) == chunkBytes {
			if err := w.flush(); err != nil {
				return 0, err
			}
		}
	}

	return len(p), nil
}

// flush begins to send what is in the buffer.
func (w *writer) flush() error {
	if len(w.buffer) == 0 {
		return nil
	}

	select {
	case w.slots <- struct{}{}:
	case <-w.ctx.Done():
		return w.ctx.Err()
	}

	plain, index := w.buffer, w.count
	w.buffer = make([]byte, 0, chunkBytes)
	w.count++

	w.sending.Go(func() {
		defer func() { <-w.slots }()

		chunk, err := w.send(plain, index)

		w.mu.Lock()
		defer w.mu.Unlock()

		if err != nil {
			w.err = errors.Join(w.err, fmt.Errorf("store %s: %w", chunkKey(w.id, index), err))

			return
		}

		if w.chunks == nil {
			w.chunks = map[int]Chunk{}
		}

		w.chunks[index] = chunk
	})

	return nil
}

func (w *writer) send(plain []byte, index int) (Chunk, error) {
	stored, err := compress.Default.Compress(nil, plain)
	if err != nil {
		return Chunk{}, err
	}

	if w.key != nil {
		stored = w.key.Seal(nil, stored, chunkKey(w.id, index))
	}

	sum := sha256.Sum256(stored)

	return Chunk{Bytes: int64(len(plain)), Stored: int64(len(stored)), SHA256: hex.EncodeToString(sum[:])},
		w.store.Put(w.ctx, chunkKey(w.id, index), stored)
}

// finish writes the manifest.
func (w *writer) finish(ctx context.Context, m *Manifest, clk clock.PassiveClock) error {
	sum := w.whole.Sum(nil)
	m.DataBytes, m.SHA256, m.Completed = w.bytes, hex.EncodeToString(sum), clk.Now().UTC()

	if w.key != nil {
		m.Seal = w.key.Seal(nil, sum, manifestKey(m.ID))
	}

	for index := range w.count {
		m.Chunks = append(m.Chunks, w.chunks[index])
		m.StoredBytes += w.chunks[index].Stored
	}

	body, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode the manifest: %w", err)
	}

	if err := w.store.PutIfAbsent(ctx, manifestKey(m.ID), body); err != nil {
		return fmt.Errorf("store the manifest of dump %s: %w", m.ID, err)
	}

	return nil
}

// Read writes a dump as the dump program wrote it. Each chunk is checked before it is passed on, and the whole at the end: after
// an error what came before is not all. The error is a *DamagedError where an object is not what was stored.
func Read(ctx context.Context, store objectstore.Store, m *Manifest, identities []age.Identity, w io.Writer) error {
	key := m.key

	if key == nil && len(m.Key) > 0 {
		var err error
		if key, err = crypt.Unwrap(m.Key, identities); err != nil {
			return fmt.Errorf("dump %s is encrypted: %w", m.ID, err)
		}
	}

	whole := sha256.New()

	for index, chunk := range m.Chunks {
		plain, err := readChunk(ctx, store, m, key, index)
		if err != nil {
			return err
		}

		if int64(len(plain)) != chunk.Bytes {
			return &DamagedError{Key: chunkKey(m.ID, index), Reason: "it holds another number of bytes than the manifest says"}
		}

		whole.Write(plain)

		if _, err := w.Write(plain); err != nil {
			return fmt.Errorf("pass on dump %s: %w", m.ID, err)
		}
	}

	return checkWhole(m, key, whole.Sum(nil))
}

func checkWhole(m *Manifest, key *crypt.Key, sum []byte) error {
	damaged := &DamagedError{Key: manifestKey(m.ID), Reason: "the whole does not have the checksum that it says"}

	if hex.EncodeToString(sum) != m.SHA256 {
		return damaged
	}

	if key == nil {
		return nil
	}

	if sealed, err := key.Open(nil, m.Seal, manifestKey(m.ID)); err != nil || !bytes.Equal(sealed, sum) {
		return damaged
	}

	return nil
}

// fetchChunk gives a chunk as it is stored, checked.
func fetchChunk(ctx context.Context, store objectstore.Store, m *Manifest, index int) ([]byte, error) {
	chunk, name := m.Chunks[index], chunkKey(m.ID, index)

	stored, err := objectstore.Get(ctx, store, name, chunk.Stored)

	switch {
	case errors.Is(err, objectstore.ErrNotFound):
		return nil, &DamagedError{Key: name, Reason: "it is gone"}
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", name, err)
	}

	if sum := sha256.Sum256(stored); hex.EncodeToString(sum[:]) != chunk.SHA256 {
		return nil, &DamagedError{Key: name, Reason: "its checksum is not the manifest's"}
	}

	return stored, nil
}

func readChunk(ctx context.Context, store objectstore.Store, m *Manifest, key *crypt.Key, index int) ([]byte, error) {
	name := chunkKey(m.ID, index)

	stored, err := fetchChunk(ctx, store, m, index)
	if err != nil {
		return nil, err
	}

	if key != nil {
		if stored, err = key.Open(nil, stored, name); err != nil {
			return nil, &DamagedError{Key: name, Reason: err.Error()}
		}
	}

	plain, err := m.Compression.Decompress(nil, stored, chunkBytes)
	if err != nil {
		return nil, &DamagedError{Key: name, Reason: err.Error()}
	}

	return plain, nil
}

// ReadBack says whether the store has what was sent to it, every object of it. It needs no key.
func ReadBack(ctx context.Context, store objectstore.Store, id string) error {
	m, err := Load(ctx, store, id)
	if err != nil {
		return err
	}

	for index := range m.Chunks {
		if _, err := fetchChunk(ctx, store, m, index); err != nil {
			return err
		}
	}

	return nil
}

// Verify reads a dump back, checks that it can be opened and is whole, and passes nothing on.
func Verify(ctx context.Context, store objectstore.Store, m *Manifest, identities []age.Identity) error {
	return Read(ctx, store, m, identities, io.Discard)
}
