package serverlog

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

const (
	// rotateBytes is when a file is exchanged for a new one.
	rotateBytes = 4 << 20
	// hopelessBytes is when a file that PostgreSQL will not let go of is emptied, so that it does not fill the memory.
	hopelessBytes = 8 * rotateBytes
	// maxRecord bounds a record that has not ended.
	maxRecord = 1 << 20
	// spent is the suffix of a file that is being exchanged.
	spent = ".spent"
)

// follower reads a file that grows. To drop what was read it renames the file, asks PostgreSQL to open a new one, and
// removes the old one when it has been read to its end: nothing is lost, as it would be by truncating.
type follower struct {
	path string
	// isComplete says whether a record that ends in a line end is whole; nil: each line is one.
	isComplete func(record string) bool
	// rotate asks PostgreSQL to open the file anew.
	rotate func() error

	file     *os.File
	offset   int64
	rotating bool
	// quiet: the old file gave nothing since the new one exists.
	quiet  bool
	record strings.Builder
}

// poll reads what is new and hands over each whole record.
func (f *follower) poll(each func(record string)) error {
	if f.file == nil {
		file, err := os.OpenFile(f.path, os.O_RDWR, 0)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}

		if err != nil {
			return fmt.Errorf("open the server's log: %w", err)
		}

		f.file, f.offset = file, 0
	}

	read, err := f.read(each)
	if err != nil {
		return err
	}

	switch {
	case f.rotating:
		return f.finish(read)
	case f.offset >= rotateBytes:
		return f.begin()
	default:
		return nil
	}
}

func (f *follower) read(each func(record string)) (int64, error) {
	var total int64

	buffer := make([]byte, 32<<10)

	for {
		n, err := f.file.ReadAt(buffer, f.offset)
		f.offset += int64(n)
		total += int64(n)
		f.split(string(buffer[:n]), each)

		if errors.Is(err, io.EOF) || err == nil && n == 0 {
			return total, nil
		}

		if err != nil {
			return total, fmt.Errorf("read the server's log: %w", err)
		}
	}
}

func (f *follower) split(text string, each func(record string)) {
	for line := range strings.Lines(text) {
		f.record.WriteString(line)

		if !strings.HasSuffix(line, "\n") && f.record.Len() < maxRecord {
			continue
		}

		record := f.record.String()
		if f.isComplete != nil && !f.isComplete(record) && len(record) < maxRecord {
			continue
		}

		f.record.Reset()
		each(strings.TrimSuffix(record, "\n"))
	}
}

func (f *follower) begin() error {
	if err := os.Rename(f.path, f.path+spent); err != nil {
		return fmt.Errorf("exchange the server's log: %w", err)
	}

	f.rotating, f.quiet = true, false

	return f.rotate()
}

// finish lets go of the old file once the new one exists and the old has been quiet for a whole interval.
func (f *follower) finish(read int64) error {
	if _, err := os.Stat(f.path); err != nil {
		if f.offset > hopelessBytes {
			f.offset = 0

			return errors.Join(f.file.Truncate(0), f.rotate())
		}

		return f.rotate()
	}

	if read > 0 || !f.quiet {
		f.quiet = read == 0

		return nil
	}

	f.rotating = false
	err := errors.Join(f.file.Close(), os.Remove(f.path+spent))
	f.file = nil

	if err != nil {
		return fmt.Errorf("remove the server's log: %w", err)
	}

	return nil
}

// hasEvenQuotes says whether a CSV record is whole: a line end within quotes belongs to the record.
func hasEvenQuotes(record string) bool {
	return strings.Count(record, `"`)%2 == 0
}
