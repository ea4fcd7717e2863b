package process

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// termGrace is how long a tool may take to end after SIGTERM.
	termGrace = 5 * time.Second
	// drainGrace is how long output is still read after a tool's end; a grandchild may hold the pipe open.
	drainGrace = time.Second
	// maxLine bounds a line of output.
	maxLine = 1 << 20
	// lastLines of a tool's standard error go into its error.
	lastLines = 5
)

// Lines makes a file for a child to write to, and calls each with every line until all writers have closed it. The
// caller closes the file once the child has it; done is closed after the last line.
func Lines(each func(line string)) (file *os.File, done <-chan struct{}, err error) {
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, nil, fmt.Errorf("make a pipe: %w", err)
	}

	ended := make(chan struct{})

	go func() {
		defer close(ended)
		defer reader.Close() //nolint:errcheck // only read from

		scanner := bufio.NewScanner(reader)
		scanner.Buffer(make([]byte, 0, 4096), maxLine)

		for scanner.Scan() {
			each(scanner.Text())
		}

		// A line beyond the limit ends the scanner; the child must not block all the same.
		_, _ = io.Copy(io.Discard, reader)
	}()

	return writer, ended, nil
}

// Output runs a tool to its end and returns its standard output. Each line of standard error goes to each, if not nil.
// When the context ends, the tool gets SIGTERM, then SIGKILL. The error of a tool that fails has its last lines.
func (t *Table) Output(ctx context.Context, cmd Command, each func(line string)) (string, error) {
	var (
		mu   sync.Mutex
		out  bytes.Buffer
		tail []string
	)

	stdout, outDone, err := Lines(func(line string) {
		mu.Lock()
		defer mu.Unlock()
		out.WriteString(line + "\n")
	})
	if err != nil {
		return "", err
	}

	stderr, errDone, err := Lines(func(line string) {
		mu.Lock()
		tail = append(tail, line)
		tail = tail[max(0, len(tail)-lastLines):]
		mu.Unlock()

		if each != nil {
			each(line)
		}
	})
	if err != nil {
		return "", errors.Join(err, stdout.Close())
	}

	cmd.Stdout, cmd.Stderr = stdout, stderr
	child, err := t.Start(cmd)

	if err := errors.Join(err, stdout.Close(), stderr.Close()); err != nil {
		return "", err
	}

	t.waitOrStop(ctx, child)
	t.drain(outDone, errDone)

	mu.Lock()
	defer mu.Unlock()

	if ctx.Err() != nil {
		return out.String(), fmt.Errorf("%s: %w", filepath.Base(cmd.Path), context.Cause(ctx))
	}

	if !child.Exit().OK() {
		said := strings.Join(tail, "; ")

		return out.String(), fmt.Errorf("%s: %s: %s", filepath.Base(cmd.Path), child.Exit(), said)
	}

	return out.String(), nil
}

// waitOrStop waits for a child's end and brings it about when the context ends first.
func (t *Table) waitOrStop(ctx context.Context, child *Child) {
	select {
	case <-child.Done():
		return
	case <-ctx.Done():
	}

	_ = child.Signal(syscall.SIGTERM)

	select {
	case <-child.Done():
		return
	case <-t.clock.After(termGrace):
	}

	_ = child.Signal(syscall.SIGKILL)
	<-child.Done()
}

func (t *Table) drain(ends ...<-chan struct{}) {
	limit := t.clock.After(drainGrace)
	for _, end := range ends {
		select {
		case <-end:
		case <-limit:
			return
		}
	}
}
