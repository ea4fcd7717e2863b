package rootfs

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
)

// Owner is a numeric user and group.
type Owner struct {
	UID, GID int
}

// Tree is a file tree. Paths have no leading slash. The contents lie in a
// spool file, so that a tree may be larger than memory.
type Tree struct {
	entries map[string]*entry
	spool   *os.File
	spooled int64
}

type entry struct {
	kind   byte // tar.TypeDir, tar.TypeReg or tar.TypeSymlink
	mode   int64
	owner  Owner
	target string // of a symbolic link
	offset int64  // of the contents in the spool; hard links share it
	size   int64
}

// setIDBits are taken off every file: nothing in these images gains rights.
const setIDBits = 0o6000

// New returns an empty tree with its spool file in dir. Close removes it.
func New(dir string) (*Tree, error) {
	spool, err := os.CreateTemp(dir, "spool-*")
	if err != nil {
		return nil, fmt.Errorf("creating the spool file: %w", err)
	}
	return &Tree{entries: map[string]*entry{}, spool: spool}, nil
}

// Close removes the spool file.
func (t *Tree) Close() error {
	return errors.Join(t.spool.Close(), os.Remove(t.spool.Name()))
}

// AddTar adds the files of a tar stream, such as a package's. A later file
// replaces an earlier one; a directory that is there stays as it is.
func (t *Tree) AddTar(stream io.Reader) error {
	reader := tar.NewReader(stream)
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading a tar stream: %w", err)
		}
		if err := t.addHeader(header, reader); err != nil {
			return err
		}
	}
}

func (t *Tree) addHeader(header *tar.Header, content io.Reader) error {
	name, merged := canonical(header.Name)
	if name == "" || merged {
		return nil
	}
	added := &entry{
		kind:  header.Typeflag,
		mode:  header.Mode & 0o7777,
		owner: Owner{UID: header.Uid, GID: header.Gid},
	}
	switch header.Typeflag {
	case tar.TypeDir:
		if existing, ok := t.entries[name]; ok && existing.kind == tar.TypeDir {
			return nil
		}
	case tar.TypeSymlink:
		added.target = header.Linkname
	case tar.TypeReg:
		if err := t.spoolContent(added, content); err != nil {
			return fmt.Errorf("storing %s: %w", name, err)
		}
	case tar.TypeLink:
		targetName, _ := canonical(header.Linkname)
		target, ok := t.entries[targetName]
		if !ok {
			return fmt.Errorf("%s is a hard link to %s, which is not there", name, targetName)
		}
		added = target
	default:
		return fmt.Errorf("%s has the unexpected tar type %q", name, header.Typeflag)
	}
	t.entries[name] = added
	return nil
}

// canonical cleans a path and moves it to where a merged /usr has it. It
// reports whether the path is itself one of the merged directories.
func canonical(name string) (cleaned string, merged bool) {
	cleaned = strings.TrimPrefix(path.Clean("/"+name), "/")
	first, rest, _ := strings.Cut(cleaned, "/")
	switch first {
	case "bin", "sbin", "lib", "lib32", "lib64", "libx32":
		return path.Join("usr", first, rest), rest == ""
	}
	return cleaned, false
}

func (t *Tree) spoolContent(to *entry, content io.Reader) error {
	size, err := io.Copy(io.NewOffsetWriter(t.spool, t.spooled), content)
	if err != nil {
		return err
	}
	to.offset, to.size = t.spooled, size
	t.spooled += size
	return nil
}

// AddFile adds or replaces a regular file.
func (t *Tree) AddFile(name string, mode int64, owner Owner, content io.Reader) error {
	added := &entry{kind: tar.TypeReg, mode: mode, owner: owner}
	if err := t.spoolContent(added, content); err != nil {
		return fmt.Errorf("storing %s: %w", name, err)
	}
	t.entries[name] = added
	return nil
}

// AddDir adds a directory, or changes the one that is there.
func (t *Tree) AddDir(name string, mode int64, owner Owner) {
	t.entries[name] = &entry{kind: tar.TypeDir, mode: mode, owner: owner}
}

// AddLink adds or replaces a symbolic link.
func (t *Tree) AddLink(name, target string) {
	t.entries[name] = &entry{kind: tar.TypeSymlink, mode: 0o777, target: target}
}

// Remove takes out every path that match selects, and whatever lies below it.
func (t *Tree) Remove(match func(name string) bool) {
	removed := map[string]bool{".": false}
	var isRemoved func(name string) bool
	isRemoved = func(name string) bool {
		result, known := removed[name]
		if !known {
			result = match(name) || isRemoved(path.Dir(name))
			removed[name] = result
		}
		return result
	}
	maps.DeleteFunc(t.entries, func(name string, _ *entry) bool { return isRemoved(name) })
}

// RemoveEmptyDirs takes out directories that an earlier Remove left empty.
func (t *Tree) RemoveEmptyDirs(match func(name string) bool) {
	used := map[string]bool{}
	names := t.Paths()
	slices.Reverse(names)
	for _, name := range names {
		if t.entries[name].kind == tar.TypeDir && !used[name] && match(name) {
			delete(t.entries, name)
			continue
		}
		used[path.Dir(name)] = true
	}
}

// Paths returns all paths, sorted.
func (t *Tree) Paths() []string {
	return slices.Sorted(maps.Keys(t.entries))
}

// Open returns the contents of a regular file, following symbolic links.
func (t *Tree) Open(name string) (*io.SectionReader, error) {
	for range 10 {
		found, ok := t.entries[name]
		if !ok {
			return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
		}
		switch found.kind {
		case tar.TypeReg:
			return io.NewSectionReader(t.spool, found.offset, found.size), nil
		case tar.TypeSymlink:
			target := found.target
			if !path.IsAbs(target) {
				target = path.Join(path.Dir(name), target)
			}
			name, _ = canonical(target)
		default:
			return nil, fmt.Errorf("%s is a directory", name)
		}
	}
	return nil, fmt.Errorf("%s: too many symbolic links", name)
}
