package diverged

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/caretaker-dev/caretaker/internal/instance/volume"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

const (
	// folder in the state folder.
	folder = "diverged"
	// manifestFile in each folder.
	manifestFile = "manifest.json"
	// MaxKept is how many divergences are kept; the oldest go first.
	MaxKept = 5
	// maxBytes of all of them together, and as shares of the volume: of its size, and of what is free.
	maxBytes  = 1 << 30
	sizeShare = 10
	freeShare = 2
)

// Manifest says what was kept, and why.
type Manifest struct {
	// Instance and Member whose log it was.
	Instance string `json:"instance"`
	Member   string `json:"member"`
	// Timeline that ends here; Onto is the one that the member follows since, with Primary on it.
	Timeline int64  `json:"timeline"`
	Onto     int64  `json:"onto"`
	Primary  string `json:"primary"`
	// Fork is the last LSN that both have, End where the log ended, Bytes the distance.
	Fork  string `json:"fork"`
	End   string `json:"end"`
	Bytes int64  `json:"bytes"`
	// At is when it was kept.
	At time.Time `json:"at"`
	// Path of the folder on the volume.
	Path string `json:"path"`
	// Segments are the files, the oldest first, and KeptBytes their size.
	Segments  []string `json:"segments,omitempty"`
	KeptBytes int64    `json:"keptBytes"`
	// Missing says why not all of it is here; empty if it is.
	Missing string `json:"missing,omitempty"`
}

// Divergence is what is to be kept.
type Divergence struct {
	Instance, Member, Primary string
	// Timelines of the log from the fork on, oldest first.
	Timelines []postgres.Timeline
	Onto      postgres.Timeline
	Fork, End postgres.LSN
	// WALDir and SegmentBytes of the server.
	WALDir       string
	SegmentBytes int64
	At           time.Time
}

// Keep copies the divergent WAL aside, durably. Called again for the same divergence, it changes nothing. What does not
// fit is left out, from the end, and the manifest says so.
func Keep(stateDir string, d Divergence) (Manifest, error) {
	name := fmt.Sprintf("timeline-%d-from-%s", d.Timelines[len(d.Timelines)-1], strings.ReplaceAll(d.Fork.String(), "/", "-"))
	dir := filepath.Join(stateDir, folder, name)

	if m, err := read(dir); err == nil && m.End == d.End.String() {
		return m, nil
	}

	m := Manifest{
		Instance: d.Instance, Member: d.Member, Primary: d.Primary, Path: dir,
		Timeline: int64(d.Timelines[len(d.Timelines)-1]), Onto: int64(d.Onto),
		Fork: d.Fork.String(), End: d.End.String(), Bytes: max(0, d.End.Diff(d.Fork)), At: d.At.UTC(),
	}
	partial := dir + volume.Incomplete

	if err := errors.Join(os.RemoveAll(partial), os.RemoveAll(dir), os.MkdirAll(partial, 0o700)); err != nil {
		return Manifest{}, fmt.Errorf("make a folder for divergent WAL: %w", err)
	}

	room, err := makeRoom(stateDir)
	if err != nil {
		return Manifest{}, err
	}

	if err := copySegments(&m, d, partial, room); err != nil {
		return Manifest{}, errors.Join(err, os.RemoveAll(partial))
	}

	content, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return Manifest{}, fmt.Errorf("encode a manifest: %w", err)
	}

	if err := volume.WriteFile(filepath.Join(partial, manifestFile), append(content, '\n'), 0o600); err != nil {
		return Manifest{}, err
	}

	if err := errors.Join(volume.Sync(partial), os.Rename(partial, dir)); err != nil {
		return Manifest{}, fmt.Errorf("complete the folder of divergent WAL: %w", err)
	}

	return m, volume.SyncDir(filepath.Dir(dir))
}

// List are the manifests of what is kept, the oldest first. A folder without one is left out.
func List(stateDir string) ([]Manifest, error) {
	entries, err := os.ReadDir(filepath.Join(stateDir, folder))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}

	if err != nil {
		return nil, fmt.Errorf("list divergent WAL: %w", err)
	}

	var found []Manifest

	for _, entry := range entries {
		if strings.HasSuffix(entry.Name(), volume.Incomplete) {
			continue
		}

		if m, err := read(filepath.Join(stateDir, folder, entry.Name())); err == nil {
			found = append(found, m)
		}
	}

	slices.SortFunc(found, func(a, b Manifest) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Path, b.Path)) })

	return found, nil
}

func read(dir string) (Manifest, error) {
	content, err := os.ReadFile(filepath.Join(dir, manifestFile)) //nolint:gosec // our own path
	if err != nil {
		return Manifest{}, fmt.Errorf("read a manifest: %w", err)
	}

	var m Manifest
	if err := json.Unmarshal(content, &m); err != nil {
		return Manifest{}, fmt.Errorf("read %s: %w", dir, err)
	}

	m.Path = dir

	return m, nil
}

// makeRoom removes the oldest beyond the limits, and says how many bytes one more may have.
func makeRoom(stateDir string) (int64, error) {
	kept, err := List(stateDir)
	if err != nil {
		return 0, err
	}

	limit, err := limitOf(stateDir)
	if err != nil {
		return 0, err
	}

	total := int64(0)
	for _, m := range kept {
		total += m.KeptBytes
	}

	// The new one is worth more than what is old: half of the room is for it at least.
	for len(kept) > 0 && (len(kept) >= MaxKept || total > limit/freeShare) {
		if err := os.RemoveAll(kept[0].Path); err != nil {
			return 0, fmt.Errorf("remove the oldest divergent WAL: %w", err)
		}

		total -= kept[0].KeptBytes
		kept = kept[1:]
	}

	return limit - total, nil
}

func limitOf(dir string) (int64, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return 0, fmt.Errorf("size of the volume at %s: %w", dir, err)
	}

	size, free := int64(stat.Blocks)*stat.Bsize, int64(stat.Bavail)*stat.Bsize //nolint:gosec // no filesystem has 8 EiB

	return min(maxBytes, size/sizeShare, free/freeShare), nil
}

// copySegments copies from the fork on, as far as there is room.
func copySegments(m *Manifest, d Divergence, dir string, room int64) error {
	for _, timeline := range d.Timelines {
		if _, err := copyFile(d.WALDir, dir, postgres.HistoryName(timeline)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}

	if d.End <= d.Fork {
		return nil
	}

	last := postgres.SegmentAt(d.Timelines[0], d.End-1, d.SegmentBytes).Number

	for at := postgres.SegmentAt(d.Timelines[0], d.Fork, d.SegmentBytes); at.Number <= last; at = at.Next() {
		found := false

		for _, timeline := range d.Timelines {
			at.Timeline = timeline

			if room < d.SegmentBytes {
				m.Missing = fmt.Sprintf("there was no room for %s and what follows", at.Name(d.SegmentBytes))

				return nil
			}

			size, err := copyFile(d.WALDir, dir, at.Name(d.SegmentBytes))
			if errors.Is(err, os.ErrNotExist) {
				continue
			}

			if err != nil {
				return err
			}

			found = true
			room -= size
			m.KeptBytes += size
			m.Segments = append(m.Segments, at.Name(d.SegmentBytes))
		}

		if at.Timeline = d.Timelines[0]; !found {
			m.Missing = fmt.Sprintf("%s was no longer there", at.Name(d.SegmentBytes))
		}
	}

	return nil
}

// copyFile copies: PostgreSQL writes over old segments in place, so that a link would change with them.
func copyFile(from, to, name string) (int64, error) {
	in, err := os.Open(filepath.Join(from, name)) //nolint:gosec // our own path
	if err != nil {
		return 0, fmt.Errorf("keep %s: %w", name, err)
	}
	defer in.Close() //nolint:errcheck // only read from

	out, err := os.OpenFile(filepath.Join(to, name), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) //nolint:gosec // our own path
	if err != nil {
		return 0, fmt.Errorf("keep %s: %w", name, err)
	}

	size, err := io.Copy(out, in)
	if err := errors.Join(err, out.Close()); err != nil {
		return 0, fmt.Errorf("keep %s: %w", name, err)
	}

	return size, nil
}
