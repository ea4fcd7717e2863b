package dump

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/caretaker-dev/caretaker/internal/archive/compress"
	"github.com/caretaker-dev/caretaker/internal/archive/crypt"
	"github.com/caretaker-dev/caretaker/internal/objectstore"
)

const (
	dataPrefix     = "data/"
	manifestPrefix = "manifests/"
	manifestSuffix = ".json"

	// format of manifests and chunks. A reader refuses what is newer.
	format = 1

	// maxManifest bounds what is read: some four terabytes of chunks.
	maxManifest = 64 << 20

	idTime = "20060102T150405Z"
)

// ErrNoDump says that there is no such dump.
var ErrNoDump = errors.New("no such dump")

// Manifest describes a complete dump.
type Manifest struct {
	Format int    `json:"format"`
	ID     string `json:"id"`
	// Name of whom it is for, such as shop/nightly.
	Name string `json:"name"`
	// Engine, Host and Database that it was taken of; Database is empty for all.
	Engine   string `json:"engine"`
	Host     string `json:"host,omitempty"`
	Database string `json:"database,omitempty"`
	// Program that wrote the dump, with its version; Tool that stored it.
	Program string `json:"program,omitempty"`
	Tool    string `json:"tool,omitempty"`

	Started   time.Time `json:"started"`
	Completed time.Time `json:"completed"`

	// DataBytes of the stream, and its checksum in hexadecimal; StoredBytes of all chunks.
	DataBytes   int64  `json:"dataBytes"`
	SHA256      string `json:"sha256"`
	StoredBytes int64  `json:"storedBytes"`

	Compression compress.Algorithm `json:"compression"`
	// Key is the data key, wrapped for age recipients; empty: not encrypted by us. Seal is the stream's checksum, sealed with it, so that
	// nobody without the key can leave out chunks.
	Key  []byte `json:"key,omitempty"`
	Seal []byte `json:"seal,omitempty"`

	Chunks []Chunk `json:"chunks"`

	// key is the data key, which whoever takes a dump knows; the store never sees it.
	key *crypt.Key
}

// Reload reads the manifest of a dump that was just taken as the store has it now. It can be read without an identity, as the data key is not
// forgotten yet.
func Reload(ctx context.Context, store objectstore.Store, taken *Manifest) (*Manifest, error) {
	m, err := Load(ctx, store, taken.ID)
	if err == nil {
		m.key = taken.key
	}

	return m, err
}

// Chunk of the stream, in the order of it.
type Chunk struct {
	Bytes  int64 `json:"bytes"`
	Stored int64 `json:"stored"`
	// SHA256 of what is stored, in hexadecimal.
	SHA256 string `json:"sha256"`
}

// newID sorts by time. Two dumps that begin in the same second have two.
func newID(now time.Time) string {
	return now.UTC().Format(idTime) + "-" + strings.ToLower(rand.Text()[:6])
}

// began is when the dump of an ID began; false if the ID is not one of ours.
func began(id string) (time.Time, bool) {
	moment, _, found := strings.Cut(id, "-")
	at, err := time.Parse(idTime, moment)

	return at, found && err == nil
}

func chunkKey(id string, index int) string { return fmt.Sprintf("%s%s/%08d", dataPrefix, id, index) }

func manifestKey(id string) string { return manifestPrefix + id + manifestSuffix }

// Load reads the manifest of a dump. The error wraps ErrNoDump if there is none.
func Load(ctx context.Context, store objectstore.Store, id string) (*Manifest, error) {
	if _, ok := began(id); !ok {
		return nil, fmt.Errorf("%w: %q is no dump's ID, such as 20261128T020000Z-k3x9qa", ErrNoDump, id)
	}

	body, err := objectstore.Get(ctx, store, manifestKey(id), maxManifest)

	switch {
	case errors.Is(err, objectstore.ErrNotFound):
		return nil, fmt.Errorf("%w: %s", ErrNoDump, id)
	case err != nil:
		return nil, fmt.Errorf("read the manifest of dump %s: %w", id, err)
	}

	m := &Manifest{}
	if err := json.Unmarshal(body, m); err != nil {
		return nil, &DamagedError{Key: manifestKey(id), Reason: err.Error()}
	}

	switch {
	case m.Format > format:
		return nil, fmt.Errorf("dump %s is of format %d, which this program does not know yet: use a newer one", id, m.Format)
	case m.ID != id || m.Format != format:
		return nil, &DamagedError{Key: manifestKey(id), Reason: "it is of another dump"}
	}

	return m, nil
}

// IDs of the complete dumps in a store, the oldest first.
func IDs(ctx context.Context, store objectstore.Store) ([]string, error) {
	var ids []string

	for info, err := range store.List(ctx, manifestPrefix, "") {
		if err != nil {
			return nil, fmt.Errorf("list dumps: %w", err)
		}

		id, isManifest := strings.CutSuffix(strings.TrimPrefix(info.Key, manifestPrefix), manifestSuffix)
		if _, ok := began(id); ok && isManifest {
			ids = append(ids, id)
		}
	}

	slices.Sort(ids)

	return ids, nil
}

// Latest is the newest dump for a name, or of all if it is empty. The error wraps ErrNoDump if there is none.
func Latest(ctx context.Context, store objectstore.Store, name string) (*Manifest, error) {
	ids, err := IDs(ctx, store)
	if err != nil {
		return nil, err
	}

	for _, id := range slices.Backward(ids) {
		m, err := Load(ctx, store, id)
		if err != nil {
			return nil, err
		}

		if name == "" || m.Name == name {
			return m, nil
		}
	}

	return nil, fmt.Errorf("%w: there is none of %q", ErrNoDump, name)
}

// started are the IDs of all dumps that have chunks, complete or not. It skips over the chunks.
func started(ctx context.Context, store objectstore.Store) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for after := ""; ; {
			id, err := firstID(ctx, store, after)
			if id == "" && err == nil || !yield(id, err) || err != nil {
				return
			}

			// The first key after all of this dump's: '0' is next to '/'.
			after = dataPrefix + id + "0"
		}
	}
}

func firstID(ctx context.Context, store objectstore.Store, after string) (string, error) {
	for info, err := range store.List(ctx, dataPrefix, after) {
		if err != nil {
			return "", fmt.Errorf("list chunks: %w", err)
		}

		id, _, _ := strings.Cut(strings.TrimPrefix(info.Key, dataPrefix), "/")

		return id, nil
	}

	return "", nil
}
