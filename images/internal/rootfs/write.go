package rootfs

import (
	"archive/tar"
	"fmt"
	"io"
	"path"
	"strings"
	"time"
)

// Epoch is the time of every file and image: the start of Unix time.
func Epoch() time.Time {
	return time.Unix(0, 0).UTC()
}

// Write writes the tree as a tar archive. Equal trees give equal bytes.
func (t *Tree) Write(to io.Writer) error {
	t.completeDirs()
	writer := tar.NewWriter(to)
	written := map[int64]string{}
	for _, name := range t.Paths() {
		found := t.entries[name]
		header := found.header(name)
		first, linked := written[found.offset]
		if found.kind == tar.TypeReg && found.size > 0 {
			if linked {
				header.Typeflag, header.Linkname, header.Size = tar.TypeLink, first, 0
			} else {
				written[found.offset] = name
			}
		}
		if err := writer.WriteHeader(header); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
		if header.Size == 0 {
			continue
		}
		if _, err := io.Copy(writer, io.NewSectionReader(t.spool, found.offset, found.size)); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
	}
	if err := writer.Close(); err != nil {
		return fmt.Errorf("ending the tar archive: %w", err)
	}
	return nil
}

func (e *entry) header(name string) *tar.Header {
	header := &tar.Header{
		Typeflag: e.kind,
		Name:     name,
		Linkname: e.target,
		Mode:     e.mode,
		Uid:      e.owner.UID,
		Gid:      e.owner.GID,
		ModTime:  Epoch(),
	}
	switch e.kind {
	case tar.TypeDir:
		header.Name += "/"
	case tar.TypeReg:
		header.Mode &^= setIDBits
		header.Size = e.size
	}
	return header
}

// completeDirs adds the parents that no package brought, and the links that
// make /bin, /lib and the like part of a merged /usr.
func (t *Tree) completeDirs() {
	for _, name := range t.Paths() {
		for parent := path.Dir(name); parent != "."; parent = path.Dir(parent) {
			if _, ok := t.entries[parent]; !ok {
				t.AddDir(parent, 0o755, Owner{})
			}
		}
		if below, ok := strings.CutPrefix(name, "usr/"); ok {
			first, _, _ := strings.Cut(below, "/")
			if _, merged := canonical(first); merged {
				t.AddLink(first, "usr/"+first)
			}
		}
	}
}
