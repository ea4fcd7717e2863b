package dump

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/caretaker-dev/caretaker/internal/archiveapi"
)

const (
	// maxSaid is how much of a program's last words is kept for the error.
	maxSaid = 1500
	// stopDelay is how long a program may take to end once it is told to, before it is killed.
	stopDelay = 5 * time.Second
)

// Programs run the dump programs of this machine.
type Programs struct {
	// TempDir takes files with passwords, for as long as a program runs.
	TempDir string
	// Log takes what programs say.
	Log io.Writer
}

// Source of a dump, as its manifest tells it.
type Source struct {
	Engine, Host, Database, Program string
}

// Describe says what would be dumped. The error names the program that this machine lacks.
func (p Programs) Describe(ctx context.Context, given archiveapi.DumpServer) (Source, error) {
	s, c, err := prepare(given, dumpCommand)
	if err != nil {
		return Source{}, err
	}

	path, err := find(c.program)
	if err != nil {
		return Source{}, err
	}

	// What cannot say its version fails with a better message when it runs.
	version, _ := exec.CommandContext(ctx, path, "--version").Output() //nolint:gosec // one of three known programs

	first, _, _ := strings.Cut(string(version), "\n")

	return Source{Engine: s.Engine, Host: s.Host, Database: s.Database, Program: strings.TrimSpace(first)}, nil
}

// Dump writes a dump of a database to w.
func (p Programs) Dump(ctx context.Context, given archiveapi.DumpServer, w io.Writer) error {
	_, c, err := prepare(given, dumpCommand)
	if err != nil {
		return err
	}

	return p.run(ctx, c, nil, w)
}

// Restore passes a dump that feed writes to the program that loads it into a database. Extra arguments go to that program. If feed
// fails, the program is killed before it could take what it has got for the whole.
func (p Programs) Restore(ctx context.Context, given archiveapi.DumpServer, dumped string, extra []string, feed func(ctx context.Context, w io.Writer) error) error {
	_, c, err := prepare(given, func(s server) (command, error) { return restoreCommand(s, dumped) })
	if err != nil {
		return err
	}

	c.args = append(c.args, extra...)

	return p.feed(ctx, c, feed)
}

// feed a program with what feed writes.
func (p Programs) feed(ctx context.Context, c command, feed func(ctx context.Context, w io.Writer) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	reader, writer, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make a pipe: %w", err)
	}
	defer writer.Close() //nolint:errcheck // it is closed already, unless the program was killed

	fed := make(chan error, 1)

	go func() {
		err := feed(ctx, writer)
		if err == nil {
			err = writer.Close()
		} else {
			// The pipe stays open until the program is dead.
			cancel(err)
		}

		fed <- err
	}()

	err = p.run(ctx, c, reader, p.Log)

	// Whoever still feeds a program that has ended is told.
	cancel(nil)

	_ = reader.Close() // nobody reads from it any more

	return firstCause(<-fed, err)
}

// firstCause: a program that ended is why it could not be fed, unless it was killed since there was nothing to feed it with.
func firstCause(fed, ran error) error {
	if ran == nil || fed != nil && errors.Is(ran, context.Canceled) {
		return fed
	}

	return ran
}

func prepare(given archiveapi.DumpServer, build func(server) (command, error)) (server, command, error) {
	secret, err := ReadSecret(given.SecretDir)
	if err != nil {
		return server{}, command{}, err
	}

	s, err := resolve(given, secret)
	if err != nil {
		return s, command{}, err
	}

	c, err := build(s)

	return s, c, err
}

func find(program string) (string, error) {
	path, err := exec.LookPath(program)
	if err != nil {
		return "", fmt.Errorf("there is no %s on this image: name one that has it in spec.source.image", program)
	}

	return path, nil
}

func (p Programs) run(ctx context.Context, c command, in io.Reader, out io.Writer) error {
	path, err := find(c.program)
	if err != nil {
		return err
	}

	if c.file != "" {
		dir, err := os.MkdirTemp(p.TempDir, "caretaker-dump-")
		if err != nil {
			return fmt.Errorf("make room for the configuration of %s: %w", c.program, err)
		}
		defer os.RemoveAll(dir) //nolint:errcheck // its folder goes with the pod

		file := filepath.Join(dir, "config")
		if err := os.WriteFile(file, []byte(c.file), 0o600); err != nil {
			return fmt.Errorf("write the configuration of %s: %w", c.program, err)
		}

		c.args = append([]string{c.configFlag + file}, c.args...)
	}

	said := &tail{}

	cmd := exec.CommandContext(ctx, path, c.args...) //nolint:gosec // one of a few known programs
	cmd.Env = append(os.Environ(), c.env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, io.MultiWriter(said, p.Log)
	cmd.WaitDelay = stopDelay

	if err := cmd.Run(); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return fmt.Errorf("%s was stopped: %w", c.program, errors.Join(ctx.Err(), cause))
		}

		return failure(c.program, said.String(), err)
	}

	return nil
}

// failure says what a program said, and a remedy where one is known.
func failure(program, said string, err error) error {
	if said = strings.TrimSpace(said); said == "" {
		return fmt.Errorf("%s failed: %w", program, err)
	}

	if strings.Contains(said, "server version mismatch") {
		said += " — name an image of the server's major version, or a newer one, in spec.source.image"
	}

	return fmt.Errorf("%s failed: %w: %s", program, err, said)
}

// tail keeps the last of what is written.
type tail struct{ bytes.Buffer }

// Write keeps the last of it.
func (t *tail) Write(p []byte) (int, error) {
	_, _ = t.Buffer.Write(p) // memory

	if over := t.Len() - maxSaid; over > 0 {
		t.Next(over)
	}

	return len(p), nil
}
