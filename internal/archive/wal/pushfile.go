package wal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/caretaker-dev/caretaker/internal/postgres"
)

// PushFile archives a file of a pg_wal under its name, or as a partial segment where a timeline ends within it. buffer may have
// room for the content, and is given back.
func (a *Archive) PushFile(ctx context.Context, path string, mayBeThere bool, buffer []byte) (Pushed, []byte, error) {
	content, err := readFile(path, buffer)
	if err != nil {
		return Pushed{}, buffer, err
	}

	file := File{Name: filepath.Base(path), Content: content, MayBeThere: mayBeThere}
	if err := file.fit(filepath.Dir(path)); err != nil {
		return Pushed{}, content, err
	}

	pushed, err := a.Push(ctx, file)

	return pushed, content, err
}

// fit makes of a file what any server would archive under its name: it leaves out of a history what the server was not on, clears what
// is not of a segment, and gives one that its timeline does not fill the name of a partial one. See forks.go.
func (f *File) fit(walDir string) error {
	// PID 1 puts it right in pg_wal, too; the archiver may come first, and what is archived never changes.
	if timeline, err := postgres.ParseHistoryName(f.Name); err == nil {
		text, err := postgres.StraightenHistory(timeline, string(f.Content))
		f.Content = []byte(text)

		return err
	}

	isWhole := postgres.IsWALName(f.Name)
	if !isWhole && !postgres.IsPartialName(f.Name) {
		return nil
	}

	page, err := parsePageHeader(f.Content)
	if err != nil {
		return fmt.Errorf("%s: %w", f.Name, err)
	}

	if isWhole {
		page.clearTail(f.Content)
	}

	segment, err := postgres.ParseWALName(f.Name[:24], page.segmentBytes)
	if err != nil {
		return err
	}

	found, err := findCut(walDir, segment, page.segmentBytes)
	if err != nil {
		return fmt.Errorf("%s: where its timeline ends: %w", f.Name, err)
	}

	switch {
	case found == nil:
	case !isWhole:
		f.Compare = found.bytes
	case found.follows:
		f.Name += ".partial"
		f.Compare = found.bytes
		f.MayBeThere = true
	default:
	}

	return nil
}

// readFile into a buffer that may be large enough already.
func readFile(path string, buffer []byte) (content []byte, err error) {
	file, err := os.Open(path) //nolint:gosec // named by PostgreSQL
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()

	info, err := file.Stat()
	if err != nil {
		return nil, err
	}

	if info.Size() > maxPlain {
		return nil, fmt.Errorf("%s has %d bytes: no WAL file is that large", path, info.Size())
	}

	if int64(cap(buffer)) < info.Size() {
		buffer = make([]byte, info.Size())
	}

	buffer = buffer[:info.Size()]
	if _, err := io.ReadFull(file, buffer); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}

	return buffer, nil
}
