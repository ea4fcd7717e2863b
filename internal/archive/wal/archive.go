package wal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"

	"filippo.io/age"

	"github.com/caretaker-dev/caretaker/internal/archive/compress"
	"github.com/caretaker-dev/caretaker/internal/archive/crypt"
	"github.com/caretaker-dev/caretaker/internal/archive/layout"
	"github.com/caretaker-dev/caretaker/internal/archiveapi"
	"github.com/caretaker-dev/caretaker/internal/objectstore"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

// ErrOtherCluster says that a place belongs to another cluster.
var ErrOtherCluster = errors.New("this place in the object store belongs to another cluster")

// Archive is an open Target. It may be used concurrently.
type Archive struct {
	target      archiveapi.Target
	store       objectstore.Store
	compression compress.Algorithm

	mu           sync.Mutex
	capabilities *objectstore.Capabilities
	identity     uint64
}

// Open an archive. It makes no request.
func Open(ctx context.Context, target archiveapi.Target) (*Archive, error) {
	if err := layout.CheckServer(target.Server); err != nil {
		return nil, err
	}

	algorithm, err := compress.Parse(target.Compression)
	if err != nil {
		return nil, err
	}

	store, err := objectstore.Open(ctx, target.Store)
	if err != nil {
		return nil, err
	}

	return newArchive(target, store, algorithm), nil
}

func newArchive(target archiveapi.Target, store objectstore.Store, algorithm compress.Algorithm) *Archive {
	return &Archive{target: target, store: objectstore.Within(store, target.Server), compression: algorithm}
}

// Store is the archive's place: keys are those of package layout.
func (a *Archive) Store() objectstore.Store { return a.store }

// String names the place for messages.
func (a *Archive) String() string { return a.target.Store.String() + "/" + a.target.Server }

// recipients are read each time: a rotated Secret takes effect at once.
func (a *Archive) recipients() ([]age.Recipient, error) {
	if a.target.RecipientsFile == "" {
		return nil, nil
	}

	text, err := os.ReadFile(a.target.RecipientsFile)
	if err != nil {
		return nil, fmt.Errorf("read the age recipients: %w", err)
	}

	return crypt.ParseRecipients(string(text))
}

func (a *Archive) identities() ([]age.Identity, error) {
	if a.target.IdentitiesFile == "" {
		return nil, nil
	}

	text, err := os.ReadFile(a.target.IdentitiesFile)
	if err != nil {
		return nil, fmt.Errorf("read the age identities: %w", err)
	}

	return crypt.ParseIdentities(string(text))
}

// Capabilities probes the store, once.
func (a *Archive) Capabilities(ctx context.Context) (objectstore.Capabilities, error) {
	a.mu.Lock()
	defer a.mu.Unlock()

	if a.capabilities != nil {
		return *a.capabilities, nil
	}

	found, err := objectstore.Probe(ctx, a.store)
	if err != nil {
		return found, fmt.Errorf("probe %s: %w", a, err)
	}

	a.capabilities = &found

	return found, nil
}

// identity.json.
type identity struct {
	SystemIdentifier uint64 `json:"systemIdentifier,string"`
}

const smallObject = 1 << 20

// Identity is the system identifier of the cluster that the place belongs to; ok is false if it belongs to none yet.
func (a *Archive) Identity(ctx context.Context) (system uint64, ok bool, err error) {
	text, err := objectstore.Get(ctx, a.store, layout.Identity, smallObject)
	if errors.Is(err, objectstore.ErrNotFound) {
		return 0, false, nil
	}

	if err != nil {
		return 0, false, err
	}

	var found identity
	if err := json.Unmarshal(text, &found); err != nil || found.SystemIdentifier == 0 {
		return 0, false, fmt.Errorf("%s/%s: %w", a, layout.Identity, ErrDamaged)
	}

	return found.SystemIdentifier, true, nil
}

// Claim makes the place that cluster's, or finds that it is already. The error wraps ErrOtherCluster if it is another's.
func (a *Archive) Claim(ctx context.Context, system uint64) error {
	a.mu.Lock()
	known := a.identity
	a.mu.Unlock()

	if known == system {
		return nil
	}

	found, isClaimed, err := a.Identity(ctx)
	if err != nil {
		return err
	}

	if !isClaimed {
		text, err := json.Marshal(identity{SystemIdentifier: system})
		if err != nil {
			return fmt.Errorf("identity: %w", err)
		}

		if err := a.putIfAbsent(ctx, layout.Identity, text); err != nil && !errors.Is(err, objectstore.ErrExists) {
			return err
		}

		if found, _, err = a.Identity(ctx); err != nil {
			return err
		}
	}

	if found != system {
		return fmt.Errorf("%s: %w: its system identifier is %d, ours is %d; give each cluster a path or a serverName of its own",
			a, ErrOtherCluster, found, system)
	}

	a.mu.Lock()
	defer a.mu.Unlock()
	a.identity = system

	return nil
}

// IsEmpty says whether nothing was ever archived in this place.
func (a *Archive) IsEmpty(ctx context.Context) (bool, error) {
	for _, prefix := range []string{layout.Identity, layout.WALPrefix, layout.HistoryPrefix, layout.BackupsPrefix} {
		for _, err := range a.store.List(ctx, prefix, "") {
			return false, err
		}
	}

	return true, nil
}

// putIfAbsent also works, but for a race, where the store ignores the condition.
func (a *Archive) putIfAbsent(ctx context.Context, key string, object []byte) error {
	capabilities, err := a.Capabilities(ctx)
	if err != nil {
		return err
	}

	if !capabilities.PutIfAbsent {
		switch _, err := a.store.Head(ctx, key); {
		case err == nil:
			return fmt.Errorf("%s: %w", key, objectstore.ErrExists)
		case !errors.Is(err, objectstore.ErrNotFound):
			return err
		default:
			return a.store.Put(ctx, key, object)
		}
	}

	return a.store.PutIfAbsent(ctx, key, object)
}

// File is one to push.
type File struct {
	// Name in pg_wal.
	Name string
	// Content of the whole file.
	Content []byte
	// Compare is how many bytes must be the same as in an object that is there already: all, unless a timeline ends within.
	// 0: all.
	Compare int64
	// MayBeThere: look whether it is archived already before it is compressed. It is always found out.
	MayBeThere bool
}

// Pushed says what Push did.
type Pushed struct {
	// StoredBytes were sent; 0 if the file was there.
	StoredBytes int64
	// WasThere: the same content had been archived before, or does not need to be.
	WasThere bool
}

func (f *File) isPlaceholder() bool { return len(f.Content) == 0 && postgres.IsHistoryName(f.Name) }

// Push archives a file, and returns when it is durable. The same content again is success; other content under the same name
// is an error that wraps ErrDifferent, and nothing is changed.
//
// An empty history only keeps PostgreSQL from picking that timeline ID, and is not archived: under its name belongs the real one, which
// may be on the volumes of a recovery in place that was taken back.
func (a *Archive) Push(ctx context.Context, file File) (Pushed, error) {
	if file.isPlaceholder() {
		return Pushed{WasThere: true}, nil
	}

	key, err := layout.WAL(file.Name)
	if err != nil {
		return Pushed{}, err
	}

	header := Header{Name: file.Name, Compression: a.compression, SHA256: sumOf(file.Content)}

	if postgres.IsWALName(file.Name) || postgres.IsPartialName(file.Name) {
		page, err := checkSegment(file.Name, file.Content)
		if err != nil {
			return Pushed{}, err
		}

		header.SystemIdentifier = page.systemIdentifier

		if err := a.Claim(ctx, page.systemIdentifier); err != nil {
			return Pushed{}, err
		}
	}

	if file.MayBeThere {
		if isThere, err := a.compare(ctx, key, file, header.SHA256); isThere || err != nil {
			return Pushed{WasThere: isThere}, err
		}
	}

	recipients, err := a.recipients()
	if err != nil {
		return Pushed{}, err
	}

	object, err := encode(header, file.Content, recipients)
	if err != nil {
		return Pushed{}, err
	}

	err = a.putIfAbsent(ctx, key, object)
	if errors.Is(err, objectstore.ErrExists) {
		isThere, err := a.compare(ctx, key, file, header.SHA256)
		if err == nil && !isThere {
			err = fmt.Errorf("%s: the store says that it exists, and then that it does not", key)
		}

		return Pushed{WasThere: true}, err
	}

	if err != nil {
		return Pushed{}, err
	}

	return Pushed{StoredBytes: int64(len(object))}, nil
}

// compare says whether the archive holds this file. Other content is an error.
func (a *Archive) compare(ctx context.Context, key string, file File, sum string) (isThere bool, err error) {
	header, err := a.header(ctx, key)
	if errors.Is(err, objectstore.ErrNotFound) {
		return false, nil
	}

	if err != nil {
		return false, err
	}

	if header.SHA256 == sum && header.Bytes == int64(len(file.Content)) {
		return true, nil
	}

	if file.Compare > 0 {
		there, err := a.Fetch(ctx, file.Name)
		if err != nil {
			return false, err
		}

		if n := file.Compare; int64(len(there)) >= n && int64(len(file.Content)) >= n && bytes.Equal(there[:n], file.Content[:n]) {
			return true, nil
		}
	}

	return false, fmt.Errorf("%s in %s: %w: it has SHA-256 %.12s…, ours has %.12s…. Two servers have archived to one place, or this one "+
		"was restored and went on without a new timeline. Nothing was overwritten", file.Name, a, ErrDifferent, header.SHA256, sum)
}

// header reads the header of an object.
func (a *Archive) header(ctx context.Context, key string) (Header, error) {
	for length := int64(headerProbe); ; length = maxHeader + headerProbe {
		text, err := readRange(ctx, a.store, key, length)
		if err != nil {
			return Header{}, err
		}

		header, _, err := parseHeader(text)

		switch {
		case err == nil:
			return header, nil
		case !errors.Is(err, errShort):
			return Header{}, fmt.Errorf("%s: %w", key, err)
		case int64(len(text)) < length || length > maxHeader:
			return Header{}, fmt.Errorf("%s: %w: it is cut off", key, ErrDamaged)
		default:
		}
	}
}

func readRange(ctx context.Context, store objectstore.Store, key string, length int64) (text []byte, err error) {
	reader, err := store.GetRange(ctx, key, 0, length)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, reader.Close()) }()

	return io.ReadAll(reader)
}

// Header is what the archive says of a file, without reading it. The error wraps objectstore.ErrNotFound if it is not there.
func (a *Archive) Header(ctx context.Context, name string) (Header, error) {
	key, err := layout.WAL(name)
	if err != nil {
		return Header{}, err
	}

	return a.header(ctx, key)
}

// Buffers are the memory that a transfer works in, and the next one again. The zero value is ready.
type Buffers struct {
	object, content []byte
}

// Fetch gives a file's content, checked. The error wraps objectstore.ErrNotFound if the store says that it is not there, and
// ErrDamaged if it is not what was archived.
func (a *Archive) Fetch(ctx context.Context, name string) ([]byte, error) {
	return a.FetchInto(ctx, name, &Buffers{})
}

// FetchInto is Fetch in the memory of buffers: what it gives is there until they are used again.
func (a *Archive) FetchInto(ctx context.Context, name string, buffers *Buffers) ([]byte, error) {
	key, err := layout.WAL(name)
	if err != nil {
		return nil, err
	}

	object, err := objectstore.GetInto(ctx, a.store, key, maxPlain+maxHeader, buffers.object)
	if err != nil {
		return nil, err
	}

	buffers.object = object

	identities, err := a.identities()
	if err != nil {
		return nil, err
	}

	content, err := open(buffers.content[:0], object, name, identities)
	if err != nil {
		return nil, err
	}

	buffers.content = content

	return content, nil
}

// Check says whether an object is what was archived under a name; the error wraps ErrDamaged if it is not. Of what no identity opens only the
// header and the length are checked.
func Check(object []byte, name string, identities []age.Identity) error {
	_, err := open(nil, object, name, identities)
	if errors.Is(err, crypt.ErrNoIdentity) {
		return nil
	}

	return err
}

// open gives the file that an object holds, checked.
func open(dst, object []byte, name string, identities []age.Identity) ([]byte, error) {
	content, err := decode(dst, object, name, identities)
	if err != nil {
		return nil, err
	}

	if postgres.IsWALName(name) || postgres.IsPartialName(name) {
		if _, err := checkSegment(name, content); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
	}

	return content, nil
}

// ParseSystemIdentifier reads what pg_controldata calls "Database system identifier".
func ParseSystemIdentifier(text string) (uint64, error) {
	system, err := strconv.ParseUint(text, 10, 64)
	if err != nil || system == 0 {
		return 0, fmt.Errorf("%q is not a system identifier", text)
	}

	return system, nil
}
