package basebackup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

type counter struct{ n atomic.Int64 }

func (c *counter) add(n int64)  { c.n.Add(n) }
func (c *counter) value() int64 { return c.n.Load() }

// beforeRestore is where a delta restore leaves the WAL that it finds: some of it may be nowhere else.
const beforeRestore = "before-restore"

// tree is the data directory that is being made.
type tree struct {
	root  string
	delta bool
	link  *link
	// locations of tablespaces, by OID.
	locations map[uint32]string
	// uid, gid of the files, if we may give them away.
	uid, gid int
	mayGive  bool
}

// openTree checks that a restore may begin there.
func openTree(root string, delta bool, l *link, mapping map[string]string) (*tree, error) { //nolint:revive // the caller's option
	t := &tree{root: root, delta: delta, link: l, locations: map[uint32]string{}}

	for _, space := range l.manifest.Tablespaces {
		location, isMapped := mapping[space.Location]
		if !isMapped {
			location = space.Location
		}

		if !filepath.IsAbs(location) {
			return nil, fmt.Errorf("tablespace %d: location %q: want an absolute path", space.OID, location)
		}

		t.locations[space.OID] = location
	}

	if err := checkMapping(l.manifest.Tablespaces, mapping); err != nil {
		return nil, err
	}

	for _, dir := range t.roots() {
		if err := t.checkEmpty(dir); err != nil {
			return nil, err
		}
	}

	if err := checkStopped(root); err != nil {
		return nil, err
	}

	if !delta {
		if err := checkSpace(root, l.manifest.DataBytes); err != nil {
			return nil, err
		}
	}

	return t, t.findOwner()
}

func checkMapping(spaces []Tablespace, mapping map[string]string) error {
	for from := range mapping {
		if !slices.ContainsFunc(spaces, func(s Tablespace) bool { return s.Location == from }) {
			return fmt.Errorf("the backup has no tablespace at %s", from)
		}
	}

	return nil
}

func (t *tree) checkEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}

	if err != nil {
		return err
	}

	entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return e.Name() == "lost+found" })
	if len(entries) == 0 || t.delta {
		return nil
	}

	return fmt.Errorf("%s is not empty: restore into an empty directory, or ask for a delta restore, which changes this one into the backup", dir)
}

// checkStopped refuses a data directory that a server runs on.
func checkStopped(root string) error {
	content, err := os.ReadFile(filepath.Join(root, "postmaster.pid")) //nolint:gosec // the user's own directory
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}

	if err != nil {
		return err
	}

	first, _, _ := strings.Cut(string(content), "\n")

	pid, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil || pid <= 1 || pid == os.Getpid() || pid == os.Getppid() || errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return nil //nolint:nilerr // what names no process is no running server
	}

	return fmt.Errorf("process %d may be a PostgreSQL that runs on %s: stop it first, or remove postmaster.pid if it is none", pid, root)
}

// findOwner: whoever owns the directory, or the one above it, is to own the files that root restores.
func (t *tree) findOwner() error {
	if os.Geteuid() != 0 {
		return nil
	}

	for dir := t.root; ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err == nil {
			if stat, ok := info.Sys().(*syscall.Stat_t); ok {
				t.uid, t.gid, t.mayGive = int(stat.Uid), int(stat.Gid), true
			}

			return nil
		}

		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
}

func (t *tree) give(path string) error {
	if !t.mayGive {
		return nil
	}

	return os.Lchown(path, t.uid, t.gid)
}

func (t *tree) roots() []string {
	all := []string{t.root}
	for _, location := range t.locations {
		all = append(all, location)
	}

	return all
}

func (t *tree) path(name string) string { return filepath.Join(t.root, filepath.FromSlash(name)) }

// prepare makes all directories, and all files at their full length; what is there and should not be, goes.
func (t *tree) prepare(c *chain) error {
	if err := os.Remove(t.path(controlFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}

	if err := t.makeDirs(); err != nil {
		return err
	}

	if t.delta {
		if err := t.clean(); err != nil {
			return err
		}
	}

	for i := range t.link.index.Files {
		f := &t.link.index.Files[i]
		if f.Path == controlFile {
			continue
		}

		if err := t.makeFile(f); err != nil {
			return err
		}

		if t.delta {
			if err := t.zeroGaps(c, f); err != nil {
				return err
			}
		}
	}

	return nil
}

const privateDir = 0o700

func (t *tree) makeDirs() error {
	if err := os.MkdirAll(t.root, privateDir); err != nil {
		return err
	}

	if err := errors.Join(os.Chmod(t.root, privateDir), t.give(t.root)); err != nil {
		return err
	}

	dirs := slices.Clone(t.link.index.Dirs)
	slices.SortFunc(dirs, func(a, b Dir) int { return strings.Compare(a.Path, b.Path) })

	for _, d := range dirs {
		if err := t.makeDir(d); err != nil {
			return err
		}
	}

	return nil
}

func (t *tree) makeDir(d Dir) error {
	path := t.path(d.Path)

	oid, isOID := parseOID(filepath.Base(d.Path))
	location, isSpace := t.locations[oid]

	if isOID && isSpace && filepath.Dir(d.Path) == tblspcDir {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("put the tablespace's link in place: %w", err)
		}

		if err := errors.Join(os.MkdirAll(location, privateDir), os.Symlink(location, path)); err != nil {
			return err
		}

		return errors.Join(t.give(location), t.give(path))
	}

	if err := os.MkdirAll(path, privateDir); err != nil {
		return err
	}

	return errors.Join(os.Chmod(path, os.FileMode(d.Mode)&fs.ModePerm), t.give(path))
}

func (t *tree) makeFile(f *File) error {
	path := t.path(f.Path)

	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is in the way: a file belongs there", path)
	}

	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600) //nolint:gosec // checked to lie in the data directory
	if err != nil {
		return err
	}

	err = errors.Join(file.Truncate(f.Size), file.Chmod(os.FileMode(f.Mode)&fs.ModePerm), file.Close())

	return errors.Join(err, t.give(path))
}

// zeroGaps writes zeroes where the backup has nothing: an old file may have something there.
func (t *tree) zeroGaps(c *chain, f *File) (err error) {
	if !f.Partial {
		return nil
	}

	runs, err := c.resolve(len(c.links)-1, f, 0, f.Size, int64(t.link.manifest.BlockBytes))
	if err != nil {
		return err
	}

	file, err := os.OpenFile(t.path(f.Path), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()

	zero := make([]byte, frameBytes)

	for _, gap := range gaps(runs, 0, f.Size) {
		for at := gap.at; at < gap.at+gap.bytes; at += int64(len(zero)) {
			if _, err := file.WriteAt(zero[:min(int64(len(zero)), gap.at+gap.bytes-at)], at); err != nil {
				return err
			}
		}
	}

	return nil
}

// clean removes what the backup does not have, and sets the WAL that is there aside.
func (t *tree) clean() error {
	wanted := map[string]struct{}{}
	for _, d := range t.link.index.Dirs {
		wanted[d.Path] = struct{}{}
	}

	for i := range t.link.index.Files {
		wanted[t.link.index.Files[i].Path] = struct{}{}
	}

	if err := t.setWALAside(); err != nil {
		return err
	}

	return t.cleanDir("", wanted)
}

func (t *tree) cleanDir(name string, wanted map[string]struct{}) error {
	entries, err := os.ReadDir(t.path(name))
	if err != nil {
		return err
	}

	for _, entry := range entries {
		below := strings.TrimPrefix(name+"/"+entry.Name(), "/")
		_, isWanted := wanted[below]
		isDir := entry.IsDir() || entry.Type()&fs.ModeSymlink != 0

		switch {
		case below == "lost+found", below == "pg_wal":
		case !isWanted:
			err = os.RemoveAll(t.path(below))
		case isDir:
			err = t.cleanDir(below, wanted)
		}

		if err != nil {
			return err
		}
	}

	return nil
}

func (t *tree) setWALAside() error {
	wal := t.path("pg_wal")
	aside := filepath.Join(wal, beforeRestore)

	entries, err := os.ReadDir(wal)
	if err != nil {
		return err
	}

	for _, entry := range entries {
		if entry.IsDir() {
			continue
		}

		if err := os.MkdirAll(aside, privateDir); err != nil {
			return err
		}

		if err := os.Rename(filepath.Join(wal, entry.Name()), filepath.Join(aside, entry.Name())); err != nil {
			return err
		}
	}

	// What had not been archived then is no news to the restored server.
	status := filepath.Join(wal, "archive_status")
	if err := os.RemoveAll(status); err != nil {
		return err
	}

	return errors.Join(os.MkdirAll(status, privateDir), t.give(status), ignoreMissing(t.give(aside)))
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}

	return err
}

// finish writes what tells the server that it is a copy, and of what.
func (t *tree) finish(label string) error {
	if err := t.write(labelFile, []byte(label)); err != nil {
		return err
	}

	if len(t.locations) == 0 {
		return nil
	}

	var out strings.Builder

	escape := strings.NewReplacer("\\", "\\\\", "\n", "\\\n", "\r", "\\\r")
	for _, space := range t.link.manifest.Tablespaces {
		fmt.Fprintf(&out, "%d %s\n", space.OID, escape.Replace(t.locations[space.OID]))
	}

	return t.write(mapFile, []byte(out.String()))
}

// write puts a small file on disk.
func (t *tree) write(name string, content []byte) error {
	path := t.path(name)

	if err := os.WriteFile(path, content, 0o600); err != nil {
		return err
	}

	file, err := os.Open(path) //nolint:gosec // our own path
	if err != nil {
		return err
	}

	return errors.Join(file.Sync(), file.Close(), t.give(path))
}
