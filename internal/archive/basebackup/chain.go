package basebackup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"filippo.io/age"

	"github.com/caretaker-dev/caretaker/internal/archive/compress"
	"github.com/caretaker-dev/caretaker/internal/archive/crypt"
	"github.com/caretaker-dev/caretaker/internal/objectstore"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

// maxChain bounds how many backups a restore is put together from.
const maxChain = 1000

// chain is a backup and its parents, the full one first.
type chain struct{ links []*link }

// link is one backup, opened for reading.
type link struct {
	store    objectstore.Store
	manifest *Manifest
	index    *Index
	files    map[string]*File
	codec    codec
}

func (c *chain) newest() *link { return c.links[len(c.links)-1] }

// lineage reads the manifests of a backup and its parents, the full one first.
func lineage(ctx context.Context, store objectstore.Store, id string) ([]*Manifest, error) {
	var all []*Manifest

	for next := id; ; {
		m, err := ReadManifest(ctx, store, next)

		switch {
		case errors.Is(err, ErrNoBackup) && next != id:
			return nil, fmt.Errorf("backup %s cannot be restored: its parent %s is missing: %w", id, next, err)
		case err != nil:
			return nil, err
		case len(all) > 0 && m.SystemIdentifier != all[0].SystemIdentifier:
			return nil, &DamagedError{Key: manifestKey(next), Reason: "it is another server's"}
		case len(all) == maxChain:
			return nil, &DamagedError{Key: manifestKey(id), Reason: "its chain of parents does not end"}
		}

		all = append([]*Manifest{m}, all...)

		if m.Kind != Incremental {
			return all, nil
		}

		next = m.Parent
	}
}

// openChain opens a backup and its parents for reading.
func openChain(ctx context.Context, store objectstore.Store, id string, identities []age.Identity) (*chain, error) {
	manifests, err := lineage(ctx, store, id)
	if err != nil {
		return nil, err
	}

	c := &chain{}

	for _, m := range manifests {
		l, err := openLink(ctx, store, m, identities)
		if err != nil {
			return nil, err
		}

		c.links = append(c.links, l)
	}

	return c, nil
}

func openLink(ctx context.Context, store objectstore.Store, m *Manifest, identities []age.Identity) (*link, error) {
	key, err := openKey(m, identities)
	if err != nil {
		return nil, err
	}

	algorithm, err := compress.Parse(string(m.Compression))
	if err != nil {
		return nil, fmt.Errorf("backup %s: %w", m.ID, err)
	}

	index, err := readIndex(ctx, store, m, key)
	if err != nil {
		return nil, err
	}

	l := &link{
		store: store, manifest: m, index: index, files: make(map[string]*File, len(index.Files)),
		codec: codec{id: m.ID, algorithm: algorithm, key: key},
	}

	for i := range index.Files {
		l.files[index.Files[i].Path] = &index.Files[i]
	}

	return l, nil
}

func openKey(m *Manifest, identities []age.Identity) (*crypt.Key, error) {
	if len(m.WrappedKey) == 0 {
		return nil, nil //nolint:nilnil // it is not encrypted
	}

	key, err := crypt.Unwrap(m.WrappedKey, identities)
	if err != nil {
		return nil, fmt.Errorf("backup %s is encrypted: %w", m.ID, err)
	}

	return key, nil
}

// readRange reads bytes of a pack into a buffer that is used again.
func (l *link) readRange(ctx context.Context, buffer []byte, pack int, offset, length int64) (out []byte, err error) {
	name := packKey(l.manifest.ID, pack)

	reader, err := l.store.GetRange(ctx, name, offset, length)
	if errors.Is(err, objectstore.ErrNotFound) {
		return buffer, &DamagedError{Key: name, Reason: "it is missing"}
	}

	if err != nil {
		return buffer, fmt.Errorf("read %s: %w", name, err)
	}
	defer func() { err = errors.Join(err, reader.Close()) }()

	if int64(cap(buffer)) < length {
		buffer = make([]byte, length)
	}

	buffer = buffer[:length]

	n, err := io.ReadFull(reader, buffer)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return buffer, &DamagedError{Key: name, Reason: fmt.Sprintf("it ends after %d bytes, %d were written", offset+int64(n), l.index.Packs[pack-1].Bytes)}
	}

	if err != nil {
		return buffer, fmt.Errorf("read %s: %w", name, err)
	}

	return buffer, nil
}

// content reads small extents into memory.
func (l *link) content(ctx context.Context, extents []Extent) ([]byte, error) {
	var (
		out     []byte
		stored  []byte
		buffers decodeBuffers
	)

	for _, e := range extents {
		frames := l.index.Packs[e.Pack-1].Frames
		left, skip := e.Bytes, e.Offset

		for i := e.Frame; left > 0; i++ {
			if i >= len(frames) {
				return nil, &DamagedError{Key: indexKey(l.manifest.ID), Reason: fmt.Sprintf("pack %d has no frame %d", e.Pack, i)}
			}

			var err error
			if stored, err = l.readRange(ctx, stored, e.Pack, frames[i].Offset, int64(frames[i].Stored)); err != nil {
				return nil, err
			}

			raw, err := l.codec.decode(&buffers, stored, frames[i], e.Pack, i)
			if err != nil {
				return nil, err
			}

			raw = raw[min(skip, len(raw)):]
			raw = raw[:min(int64(len(raw)), left)]
			out = append(out, raw...)
			left, skip = left-int64(len(raw)), 0
		}
	}

	return out, nil
}

// findParent opens the backup that an incremental one is since; nil for a full one.
func (t *take) findParent(ctx context.Context) (*chain, error) {
	id := t.Parent
	if id == "" {
		return nil, nil //nolint:nilnil // a full one
	}

	if id == Latest {
		var err error
		if id, err = t.latestParent(ctx); id == "" || err != nil {
			return nil, err
		}
	}

	m, err := ReadManifest(ctx, t.Store, id)
	if err != nil {
		return nil, err
	}

	if reason := t.unfit(m); reason != "" {
		return nil, fmt.Errorf("backup %s cannot be the parent of this one: %s; take a full one", id, reason)
	}

	// Only the parent's own index is needed; that its parents are there is.
	if _, err := lineage(ctx, t.Store, id); err != nil {
		return nil, err
	}

	l, err := openLink(ctx, t.Store, m, t.Identities)
	if err != nil {
		return nil, err
	}

	return &chain{links: []*link{l}}, nil
}

// latestParent is the newest backup that fits.
func (t *take) latestParent(ctx context.Context) (string, error) {
	backups, err := List(ctx, t.Store)
	if err != nil {
		return "", err
	}

	for _, b := range slices.Backward(backups) {
		if b.Manifest != nil && b.Expired == nil && t.unfit(b.Manifest) == "" {
			return b.ID, nil
		}
	}

	return "", nil
}

// unfit says why a backup cannot be a parent; empty if it can.
func (t *take) unfit(m *Manifest) string {
	history, err := t.currentHistory()

	switch {
	case m.Kind == Snapshot:
		return "its files are in a snapshot of the volume"
	case m.SystemIdentifier != t.server.systemIdentifier:
		return "it is of another server"
	case m.Major != t.server.version.Major:
		return fmt.Sprintf("it is of PostgreSQL %d", m.Major)
	case m.BlockBytes != t.server.blockBytes || m.SegmentBlocks != int(t.server.segBlocks):
		return "the sizes of blocks or segments differ"
	case t.method() == BlockHashes && !m.HasBlockHashes:
		return "it has no hashes of its blocks, and the server makes no WAL summaries (summarize_wal)"
	case err != nil:
		return err.Error()
	case !history.Contains(m.Timeline, m.StopLSN):
		return fmt.Sprintf("timeline %d at %s is not part of the server's history", m.Timeline, m.StopLSN)
	default:
		return ""
	}
}

func (t *take) currentHistory() (postgres.History, error) { return t.history(t.server.timeline) }

func (t *take) history(timeline postgres.Timeline) (postgres.History, error) {
	text, err := readHistory(t.dataDir, timeline)
	if err != nil {
		return postgres.History{}, err
	}

	return postgres.ParseHistory(timeline, text)
}
