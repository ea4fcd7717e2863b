package objectstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/caretaker-dev/caretaker/internal/storeconfig"
)

// dir keeps objects as files. A file is written beside its place, synced, and then given its name; the directory is synced
// last, so that a power cut leaves the whole object or none.
type dir struct {
	root string
}

// openDir wants the directory to exist: one that is not there is more likely a volume that is not mounted.
func openDir(config storeconfig.Config) (Store, error) {
	info, err := os.Stat(config.Bucket)

	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: directory %s does not exist; is its volume mounted?", ErrInvalid, config.Bucket)
	case err != nil:
		return nil, dirError("open", "", err)
	case !info.IsDir():
		return nil, fmt.Errorf("%w: %s is not a directory", ErrInvalid, config.Bucket)
	}

	return &dir{root: config.Bucket}, nil
}

func (d *dir) path(key string) string { return filepath.Join(d.root, filepath.FromSlash(key)) }

func (d *dir) Put(_ context.Context, key string, body []byte) error {
	return d.write("put", key, body, os.Rename)
}

func (d *dir) PutIfAbsent(_ context.Context, key string, body []byte) error {
	return d.write("put", key, body, renameNoReplace)
}

// renameNoReplace gives a file its name only if nothing has it, whatever the file system offers for that.
func renameNoReplace(from, to string) error {
	err := os.Link(from, to)
	if err == nil {
		return os.Remove(from)
	}

	if errors.Is(err, fs.ErrExist) || errors.Is(err, fs.ErrNotExist) {
		return err
	}

	return unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
}

func (d *dir) write(op, key string, body []byte, place func(from, to string) error) error {
	if err := storeconfig.CheckKey(key); err != nil {
		return err
	}

	target := d.path(key)
	folder := filepath.Dir(target)

	if _, err := os.Stat(d.root); err != nil {
		return d.missing(dirError(op, key, err))
	}

	if err := makeFolder(d.root, folder); err != nil {
		return dirError(op, key, err)
	}

	temporary, err := os.CreateTemp(folder, storeconfig.TemporaryMark+"*")
	if err != nil {
		return dirError(op, key, err)
	}

	_, err = temporary.Write(body)
	if err == nil {
		err = temporary.Sync()
	}

	if err = errors.Join(err, temporary.Close()); err == nil {
		err = place(temporary.Name(), target)
	}

	if err != nil {
		return dirError(op, key, errors.Join(err, ignoreMissing(os.Remove(temporary.Name()))))
	}

	return dirError(op, key, syncFolder(folder))
}

// makeFolder makes a folder under root and each above it, durably.
func makeFolder(root, folder string) error {
	if folder == root {
		return nil
	}

	_, err := os.Stat(folder)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}

	if err := makeFolder(root, filepath.Dir(folder)); err != nil {
		return err
	}

	if err := os.Mkdir(folder, 0o750); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}

	return syncFolder(filepath.Dir(folder))
}

func syncFolder(name string) error {
	folder, err := os.Open(name) //nolint:gosec // the store's own folder
	if err != nil {
		return err
	}

	return errors.Join(folder.Sync(), folder.Close())
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}

	return err
}

func (d *dir) GetRange(_ context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	if err := storeconfig.CheckKey(key); err != nil {
		return nil, err
	}

	file, err := os.Open(d.path(key))
	if err != nil {
		return nil, d.missing(dirError("get", key, err))
	}

	info, err := file.Stat()
	if err == nil && info.IsDir() {
		err = fs.ErrNotExist
	}

	if err == nil && offset > 0 {
		_, err = file.Seek(offset, io.SeekStart)
	}

	if err != nil {
		return nil, dirError("get", key, errors.Join(err, file.Close()))
	}

	if length < 0 {
		return file, nil
	}

	return struct {
		io.Reader
		io.Closer
	}{io.LimitReader(file, length), file}, nil
}

func (d *dir) Head(_ context.Context, key string) (Info, error) {
	if err := storeconfig.CheckKey(key); err != nil {
		return Info{}, err
	}

	info, err := os.Stat(d.path(key))
	if err == nil && info.IsDir() {
		err = fs.ErrNotExist
	}

	if err != nil {
		return Info{}, d.missing(dirError("head", key, err))
	}

	return dirInfo(key, info), nil
}

// missing turns "no such object" into "no such bucket" where the directory itself is gone, as when its volume is not mounted.
func (d *dir) missing(err error) error {
	if !errors.Is(err, ErrNotFound) {
		return err
	}

	if _, statErr := os.Stat(d.root); statErr != nil {
		return fmt.Errorf("directory %s: %w", d.root, ErrNoBucket)
	}

	return err
}

func dirInfo(key string, info fs.FileInfo) Info {
	return Info{
		Key: key, Size: info.Size(), Modified: info.ModTime(),
		ETag: fmt.Sprintf("%x-%x", info.ModTime().UnixNano(), info.Size()),
	}
}

// List walks the folders. Names are sorted as keys, where "a.b" comes before "a/b" though the folder's name is "a".
func (d *dir) List(ctx context.Context, prefix, startAfter string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		// The deepest folder that holds everything under prefix.
		folder := ""
		if i := strings.LastIndex(prefix, "/"); i >= 0 {
			folder = prefix[:i+1]
		}

		d.walk(ctx, folder, walkFilter{prefix: prefix, after: startAfter}, yield)
	}
}

type walkFilter struct{ prefix, after string }

// wants says whether a key, or a folder's key with its slash, may have to be listed.
func (f walkFilter) wants(key string) bool {
	if isFolder := strings.HasSuffix(key, "/"); isFolder {
		return (strings.HasPrefix(key, f.prefix) || strings.HasPrefix(f.prefix, key)) &&
			(key > f.after || strings.HasPrefix(f.after, key))
	}

	return strings.HasPrefix(key, f.prefix) && key > f.after
}

// keys of a folder's entries that may have to be listed, in order.
func (f walkFilter) keys(folder string, entries []fs.DirEntry) []string {
	keys := make([]string, 0, len(entries))

	for _, entry := range entries {
		key := folder + entry.Name()
		if entry.IsDir() {
			key += "/"
		}

		if !strings.Contains(entry.Name(), storeconfig.TemporaryMark) && f.wants(key) {
			keys = append(keys, key)
		}
	}

	slices.Sort(keys)

	return keys
}

func (d *dir) walk(ctx context.Context, folder string, filter walkFilter, yield func(Info, error) bool) bool {
	if err := ctx.Err(); err != nil {
		yield(Info{}, err)

		return false
	}

	entries, err := os.ReadDir(d.path(folder))
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) && folder != "" && d.missing(ErrNotFound) == ErrNotFound { //nolint:errorlint // unchanged
			return true
		}

		yield(Info{}, dirError("list", folder, err))

		return false
	}

	for _, key := range filter.keys(folder, entries) {
		if strings.HasSuffix(key, "/") {
			if !d.walk(ctx, key, filter, yield) {
				return false
			}

			continue
		}

		info, err := os.Stat(d.path(key))
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted meanwhile
		}

		if err != nil {
			yield(Info{}, dirError("list", key, err))

			return false
		}

		if !yield(dirInfo(key, info), nil) {
			return false
		}
	}

	return true
}

// Delete leaves empty folders: removing them would race with writers that have just made them.
func (d *dir) Delete(_ context.Context, key string) error {
	if err := storeconfig.CheckKey(key); err != nil {
		return err
	}

	err := os.Remove(d.path(key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}

	if err == nil {
		err = syncFolder(filepath.Dir(d.path(key)))
	}

	return dirError("delete", key, err)
}

// dirError sorts an error of the file system.
func dirError(op, key string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%s %s: %w", op, key, ErrExists)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%s %s: %w", op, key, ErrNotFound)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%s %s: %w: %w", op, key, ErrDenied, err)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%s %s: %w: %w", op, key, ErrFull, err)
	default:
		return fmt.Errorf("%s %s: %w", op, key, err)
	}
}
