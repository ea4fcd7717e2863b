package basebackup

import (
	"context"
	"fmt"
	"sync"

	"github.com/caretaker-dev/caretaker/internal/objectstore"
)

const (
	minPackBytes = 16 << 20
	maxPackBytes = 64 << 20
	// wantPacks is how many packs a backup should have at most.
	wantPacks = 10_000
	// ownFrame is the size from which a piece of a file begins a frame of its own, so that it can be read alone.
	ownFrame = 128 << 10
)

// packSize keeps the memory small for small servers, and the number of objects for large ones.
func packSize(dataBytes int64) int {
	return int(min(max(dataBytes/wantPacks, minPackBytes), maxPackBytes))
}

// packs is what all workers of a backup put into the store.
type packs struct {
	store   objectstore.Store
	codec   codec
	size    int
	onBytes func(int64)

	mu   sync.Mutex
	done []Pack
}

// next reserves a pack's number.
func (p *packs) next() int {
	p.mu.Lock()
	defer p.mu.Unlock()

	p.done = append(p.done, Pack{})

	return len(p.done)
}

func (p *packs) put(ctx context.Context, number int, body []byte, frames []Frame) error {
	if err := p.store.Put(ctx, packKey(p.codec.id, number), body); err != nil {
		return fmt.Errorf("write pack %d: %w", number, err)
	}

	p.onBytes(int64(len(body)))

	p.mu.Lock()
	defer p.mu.Unlock()

	p.done[number-1] = Pack{Bytes: int64(len(body)), Frames: frames}

	return nil
}

// packer is one worker's open pack. While a full one is being uploaded, the next one is filled: two buffers, no more.
type packer struct {
	packs   *packs
	number  int
	frames  []Frame
	body    []byte
	raw     []byte
	scratch []byte

	// free has the buffer that is not being filled, once its upload has ended; its error comes with it.
	free chan upload
}

type upload struct {
	buffer []byte
	err    error
}

func newPacker(p *packs) *packer {
	k := &packer{packs: p, raw: make([]byte, 0, frameBytes), free: make(chan upload, 1)}
	k.body = make([]byte, 0, p.size)
	k.free <- upload{}

	return k
}

// room is where the next content goes: read into it, then call took.
func (k *packer) room() []byte { return k.raw[len(k.raw):cap(k.raw)] }

// begin prepares for a piece of that size.
func (k *packer) begin(ctx context.Context, bytes int64) error {
	if len(k.raw) > 0 && (bytes >= ownFrame || int64(len(k.raw))+bytes > frameBytes) {
		return k.flushFrame(ctx)
	}

	return nil
}

// took says that n bytes were put into room; they are appended to the extents.
func (k *packer) took(ctx context.Context, extents []Extent, n int) ([]Extent, error) {
	if n == 0 {
		return extents, nil
	}

	if k.number == 0 {
		k.number = k.packs.next()
	}

	at := Extent{Pack: k.number, Frame: len(k.frames), Offset: len(k.raw), Bytes: int64(n)}
	extents = appendExtent(extents, at, len(k.raw) == 0)
	k.raw = k.raw[:len(k.raw)+n]

	if len(k.raw) == cap(k.raw) {
		return extents, k.flushFrame(ctx)
	}

	return extents, nil
}

// write is took for content that is in memory.
func (k *packer) write(ctx context.Context, extents []Extent, data []byte) ([]Extent, error) {
	for len(data) > 0 {
		n := copy(k.room(), data)
		data = data[n:]

		var err error
		if extents, err = k.took(ctx, extents, n); err != nil {
			return extents, err
		}
	}

	return extents, nil
}

// appendExtent joins content that follows directly on the last extent.
func appendExtent(extents []Extent, next Extent, beginsFrame bool) []Extent {
	if n := len(extents); n > 0 {
		last := &extents[n-1]
		sameFrame := last.Pack == next.Pack && last.Frame == next.Frame && int64(last.Offset)+last.Bytes == int64(next.Offset)
		// A frame is only left when it is full, or when a piece ends: what begins the next frame follows on it.
		follows := last.Pack == next.Pack && beginsFrame && last.fills(next.Frame)

		if sameFrame || follows {
			last.Bytes += next.Bytes

			return extents
		}
	}

	return append(extents, next)
}

// fills says whether the extent ends at the end of the frame before that one, if all its frames are full.
func (e Extent) fills(frame int) bool {
	return int64(e.Offset)+e.Bytes == int64(frame-e.Frame)*frameBytes
}

// flushFrame closes the open frame, and the pack if no further frame may fit.
func (k *packer) flushFrame(ctx context.Context) error {
	if len(k.raw) == 0 {
		return nil
	}

	var (
		frame Frame
		err   error
	)

	k.body, k.scratch, frame, err = k.packs.codec.encode(k.body, k.scratch, k.raw, k.number, len(k.frames))
	if err != nil {
		return fmt.Errorf("compress pack %d: %w", k.number, err)
	}

	k.frames = append(k.frames, frame)
	k.raw = k.raw[:0]

	if len(k.body)+maxStoredFrame > k.packs.size {
		return k.send(ctx)
	}

	return nil
}

// send uploads the pack in the background, after the one before it.
func (k *packer) send(ctx context.Context) error {
	if len(k.frames) == 0 {
		return nil
	}

	before := <-k.free
	if before.err != nil {
		k.free <- before

		return before.err
	}

	body, frames, number := k.body, k.frames, k.number

	go func() { k.free <- upload{buffer: body, err: k.packs.put(ctx, number, body, frames)} }()

	if before.buffer == nil {
		before.buffer = make([]byte, 0, k.packs.size)
	}

	k.body, k.frames, k.number = before.buffer[:0], nil, 0

	return nil
}

// close uploads what is left and waits for all uploads.
func (k *packer) close(ctx context.Context) error {
	err := k.flushFrame(ctx)
	if err == nil {
		err = k.send(ctx)
	}

	last := <-k.free
	k.free <- last

	if err == nil {
		err = last.err
	}

	return err
}
