package basebackup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/caretaker-dev/caretaker/internal/archive/compress"
	"github.com/caretaker-dev/caretaker/internal/archive/crypt"
	"github.com/caretaker-dev/caretaker/internal/objectstore"
)

// Index says where every byte of a backup is.
type Index struct {
	Packs []Pack `json:"packs"`
	Dirs  []Dir  `json:"dirs"`
	Files []File `json:"files"`
	// Label is the backup_label that the server must start with.
	Label string `json:"label"`
}

// Pack is an object that holds frames one after the other. Its number is its place in the list, from 1 on.
type Pack struct {
	Bytes  int64   `json:"bytes"`
	Frames []Frame `json:"frames"`
}

// Frame is a part of a pack that can be read alone.
type Frame struct {
	// Offset in the pack, and bytes there; Raw bytes of content.
	Offset int64 `json:"o"`
	Stored int   `json:"s"`
	Raw    int   `json:"r"`
	// Sum is XXH64 of what is stored, RawSum of the content.
	Sum    uint64 `json:"c"`
	RawSum uint64 `json:"x"`
}

// Dir of the data directory.
type Dir struct {
	Path string `json:"path"`
	Mode uint32 `json:"mode"`
}

// File of the data directory. Paths have slashes, and "pg_tblspc/<oid>/…" for what is in a tablespace.
type File struct {
	Path     string    `json:"path"`
	Size     int64     `json:"size"`
	Mode     uint32    `json:"mode"`
	Modified time.Time `json:"modified"`
	// Extents are the content in this backup, in order.
	Extents []Extent `json:"extents,omitempty"`
	// Hashes of the file's blocks, 8 bytes each, if the backup has them.
	Hashes []Extent `json:"hashes,omitempty"`

	// Partial: Extents are only the Blocks. The others below KeepBlocks are the parent's; from there on they are zero.
	Partial    bool         `json:"partial,omitempty"`
	Blocks     []BlockRange `json:"blocks,omitempty"`
	KeepBlocks int64        `json:"keep,omitempty"`
}

// BlockRange is blocks in a row.
type BlockRange struct {
	First int64 `json:"f"`
	Count int64 `json:"n"`
}

// Extent is content from one frame's offset on, continued in the frames that follow in the pack.
type Extent struct {
	// Pack from 1 on, Frame from 0.
	Pack   int   `json:"p"`
	Frame  int   `json:"f"`
	Offset int   `json:"o,omitempty"`
	Bytes  int64 `json:"b"`
}

func encodeIndex(index *Index, key *crypt.Key, id string) ([]byte, error) {
	plain, err := json.Marshal(index)
	if err != nil {
		return nil, fmt.Errorf("encode the index: %w", err)
	}

	packed, err := compress.Zstd.Compress(nil, plain)
	if err != nil {
		return nil, fmt.Errorf("encode the index: %w", err)
	}

	if key == nil {
		return packed, nil
	}

	return key.Seal(nil, packed, id+"/index"), nil
}

// readIndex checks the index against its manifest. key is nil if the backup is not encrypted.
func readIndex(ctx context.Context, store objectstore.Store, m *Manifest, key *crypt.Key) (*Index, error) {
	name := indexKey(m.ID)

	body, err := objectstore.Get(ctx, store, name, maxIndexBytes)
	if err != nil {
		return nil, fmt.Errorf("read the index of backup %s: %w", m.ID, err)
	}

	if int64(len(body)) != m.IndexBytes || sum(body) != m.IndexSum {
		return nil, &DamagedError{Key: name, Reason: "its size or checksum is not what the manifest says"}
	}

	if key != nil {
		if body, err = key.Open(nil, body, m.ID+"/index"); err != nil {
			return nil, &DamagedError{Key: name, Reason: err.Error()}
		}
	}

	var index Index
	if err := decodeIndex(body, &index); err != nil {
		return nil, &DamagedError{Key: name, Reason: err.Error()}
	}

	if err := index.check(); err != nil {
		return nil, &DamagedError{Key: name, Reason: err.Error()}
	}

	return &index, nil
}

// check makes sure that nothing points out of the backup, so that readers need not.
func (x *Index) check() error {
	for i := range x.Files {
		f := &x.Files[i]
		if err := checkPath(f.Path); err != nil {
			return err
		}

		for _, extents := range [][]Extent{f.Extents, f.Hashes} {
			for _, e := range extents {
				if e.Pack < 1 || e.Pack > len(x.Packs) || e.Frame < 0 || e.Frame >= len(x.Packs[e.Pack-1].Frames) || e.Bytes < 0 || e.Offset < 0 {
					return fmt.Errorf("%s lies in frame %d of pack %d, which is not there", f.Path, e.Frame, e.Pack)
				}
			}
		}
	}

	for _, d := range x.Dirs {
		if err := checkPath(d.Path); err != nil {
			return err
		}
	}

	return nil
}

func decodeIndex(packed []byte, index *Index) error {
	reader, err := compress.Zstd.NewReader(bytes.NewReader(packed))
	if err != nil {
		return err
	}

	err = json.NewDecoder(io.LimitReader(reader, maxIndexPlain)).Decode(index)

	return errors.Join(err, reader.Close())
}
