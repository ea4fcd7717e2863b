package basebackup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	controlFile = "global/pg_control"
	tblspcDir   = "pg_tblspc"
	labelFile   = "backup_label"
	mapFile     = "tablespace_map"
)

// emptied are directories whose contents belong to the running server alone; they are kept empty. The list is pg_basebackup's.
func emptied() []string {
	return []string{
		"pg_wal", "pg_replslot", "pg_stat_tmp", "pg_dynshmem", "pg_notify", "pg_serial", "pg_snapshots", "pg_subtrans",
	}
}

// left are files that a restored server must not have: pg_basebackup's list, and what makes a server a standby or ends that.
func left() []string {
	return []string{
		"postmaster.pid", "postmaster.opts", labelFile, mapFile, "backup_manifest", "postgresql.auto.conf.tmp",
		"current_logfiles.tmp", "standby.signal", "recovery.signal",
	}
}

// The relation's file names: <filenode>[_<fork>][.<segment>]; a session's own begin with t<backend>_.
var (
	relationName  = regexp.MustCompile(`^(\d+)(?:_(fsm|vm|init))?(?:\.(\d+))?$`)
	temporaryName = regexp.MustCompile(`^t\d+_\d+(?:_(?:fsm|vm|init))?(?:\.\d+)?$`)
)

// relation is what the name of a relation's file says.
type relation struct {
	tablespace, database, filenode uint32
	fork                           string
	segment                        int64
}

const (
	defaultTablespace = 1663
	globalTablespace  = 1664
)

// parseRelation reads a path like base/5/16384_vm.1; ok is false for other files.
func parseRelation(name string) (r relation, ok bool) {
	match := relationName.FindStringSubmatch(path.Base(name))
	if match == nil {
		return r, false
	}

	parts := strings.Split(name, "/")

	switch {
	case len(parts) == 2 && parts[0] == "global":
		r.tablespace = globalTablespace
	case len(parts) == 3 && parts[0] == "base":
		r.tablespace = defaultTablespace
		r.database, ok = parseOID(parts[1])
	case len(parts) == 5 && parts[0] == tblspcDir:
		var okDatabase bool
		r.tablespace, ok = parseOID(parts[1])
		r.database, okDatabase = parseOID(parts[3])
		ok = ok && okDatabase
	default:
		return r, false
	}

	if r.tablespace != globalTablespace && !ok {
		return r, false
	}

	r.fork = match[2]

	if match[3] != "" {
		if r.segment, ok = parseSegment(match[3]); !ok {
			return r, false
		}
	}

	r.filenode, ok = parseOID(match[1])

	return r, ok
}

func parseSegment(text string) (int64, bool) {
	n, err := strconv.ParseInt(text, 10, 32)

	return n, err == nil && n > 0
}

func parseOID(text string) (uint32, bool) {
	n, err := strconv.ParseUint(text, 10, 32)

	return uint32(n), err == nil && n > 0
}

// checkPath makes sure that a path of a backup stays in the data directory.
func checkPath(name string) error {
	if !fs.ValidPath(name) || name == "." || strings.ContainsAny(name, "\x00\\") {
		return fmt.Errorf("%q is not a path below a data directory", name)
	}

	return nil
}

// scan is what was found in a data directory.
type scan struct {
	dirs        []Dir
	files       []scanned
	tablespaces []Tablespace
	bytes       int64
}

type scanned struct {
	name     string
	path     string
	size     int64
	mode     uint32
	modified time.Time
}

// scanner walks a data directory.
type scanner struct {
	root string
	// exclude are names relative to the data directory that are left out with all below them.
	exclude []string
	found   scan
}

func scanData(root string, exclude []string) (*scan, error) {
	s := &scanner{root: root, exclude: exclude}
	if err := s.walk("", root); err != nil {
		return nil, fmt.Errorf("look through %s: %w", root, err)
	}

	slices.SortFunc(s.found.files, func(a, b scanned) int { return strings.Compare(a.name, b.name) })

	return &s.found, nil
}

// walk reads one folder. Files may come and go meanwhile: what is gone needs no backup, what comes is in the WAL.
func (s *scanner) walk(name, dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) && name != "" {
		return nil
	}

	if err != nil {
		return err
	}

	unlogged := unloggedRelations(name, entries)

	for _, entry := range entries {
		if s.isLeft(name, entry.Name()) || unlogged.has(entry.Name()) {
			continue
		}

		if err := s.entry(path.Join(name, entry.Name()), filepath.Join(dir, entry.Name()), entry); err != nil {
			return err
		}
	}

	return nil
}

func (s *scanner) isLeft(folder, name string) bool {
	if slices.Contains(s.exclude, path.Join(folder, name)) {
		return true
	}

	return folder == "" && slices.Contains(left(), name) ||
		strings.HasPrefix(name, "pgsql_tmp") || strings.HasPrefix(name, "pg_internal.init") ||
		isRelationFolder(folder) && temporaryName.MatchString(name)
}

func isRelationFolder(name string) bool {
	_, ok := parseRelation(path.Join(name, "1"))

	return ok
}

func (s *scanner) entry(name, full string, entry fs.DirEntry) error {
	info, err := entry.Info()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}

	if err != nil {
		return err
	}

	// pg_wal may lie on a volume of its own; its contents are not wanted, and a restore makes a folder.
	if info.Mode()&fs.ModeSymlink != 0 {
		return s.link(name, full)
	}

	switch {
	case info.IsDir():
		return s.folder(name, full, info)
	case info.Mode().IsRegular():
		s.found.files = append(s.found.files, scanned{
			name: name, path: full, size: info.Size(), mode: uint32(info.Mode().Perm()), modified: info.ModTime().UTC(),
		})
		s.found.bytes += info.Size()
	}

	return nil
}

func (s *scanner) folder(name, full string, info fs.FileInfo) error {
	s.found.dirs = append(s.found.dirs, Dir{Path: name, Mode: uint32(info.Mode().Perm())})

	if slices.Contains(emptied(), name) {
		if name == "pg_wal" {
			s.found.dirs = append(s.found.dirs, Dir{Path: "pg_wal/archive_status", Mode: uint32(info.Mode().Perm())})
		}

		return nil
	}

	return s.walk(name, full)
}

func (s *scanner) link(name, full string) error {
	info, err := os.Stat(full)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}

	if err != nil {
		return err
	}

	if slices.Contains(emptied(), name) {
		return s.folder(name, full, info)
	}

	oid, isOID := parseOID(path.Base(name))
	if path.Dir(name) != tblspcDir || !isOID || !info.IsDir() {
		return fmt.Errorf("%s is a symbolic link: only pg_wal and tablespaces may be ones; move what it points to into the data "+
			"directory, or leave it out with an exclusion", name)
	}

	location, err := os.Readlink(full)
	if err != nil {
		return err
	}

	s.found.tablespaces = append(s.found.tablespaces, Tablespace{OID: oid, Location: location})
	s.found.dirs = append(s.found.dirs, Dir{Path: name, Mode: uint32(info.Mode().Perm())})

	return s.walk(name, full)
}

// unlogged are the relations of a folder that a server makes anew from their init fork after a recovery.
type unlogged map[string]struct{}

func unloggedRelations(folder string, entries []fs.DirEntry) unlogged {
	found := unlogged{}

	if !isRelationFolder(folder) {
		return found
	}

	for _, entry := range entries {
		if match := relationName.FindStringSubmatch(entry.Name()); match != nil && match[2] == "init" {
			found[match[1]] = struct{}{}
		}
	}

	return found
}

// has says whether it is one of their files, other than the init fork.
func (u unlogged) has(name string) bool {
	match := relationName.FindStringSubmatch(name)
	if match == nil || match[2] == "init" {
		return false
	}

	_, ok := u[match[1]]

	return ok
}
