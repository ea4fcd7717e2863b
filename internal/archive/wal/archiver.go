package wal

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/archiveapi"
	"github.com/caretaker-dev/caretaker/internal/objectstore"
	"github.com/caretaker-dev/caretaker/internal/walclient"
)

// Archiver is the process between PostgreSQL and the archive.
type Archiver struct {
	config settings
	pusher *pusher // nil without an archive
	fetch  *fetcher
	clock  clock.Clock
	log    *slog.Logger
}

// New opens the archives of a configuration. It makes no request.
func New(ctx context.Context, wanted archiveapi.Config, clk clock.Clock, log *slog.Logger) (*Archiver, error) {
	config, err := settle(wanted)
	if err != nil {
		return nil, err
	}

	a := &Archiver{config: config, clock: clk, log: log}

	if config.Archive != nil {
		archive, err := Open(ctx, *config.Archive)
		if err != nil {
			return nil, err
		}

		a.pusher = newPusher(archive, config, clk, log)
	}

	sources := make([]*Archive, 0, len(config.Sources))

	for _, target := range config.Sources {
		source, err := Open(ctx, target)
		if err != nil {
			return nil, err
		}

		sources = append(sources, source)
	}

	a.fetch = newFetcher(sources, config, clk, log)

	return a, nil
}

// Run serves the socket until ctx ends.
func (a *Archiver) Run(ctx context.Context) error {
	if err := a.fetch.prepare(); err != nil {
		return err
	}

	listener, err := listen(ctx, a.config.Socket)
	if err != nil {
		return err
	}

	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()

	go a.rest(ctx)
	go a.fetch.watchSpool(ctx)

	a.log.Info("archiver listens", "socket", a.config.Socket)

	for {
		conn, err := listener.Accept()
		if ctx.Err() != nil {
			return nil
		}

		if err != nil {
			return fmt.Errorf("accept: %w", err)
		}

		go a.serve(ctx, conn)
	}
}

// listen on a socket of our own, in place of one that an earlier process left.
func listen(ctx context.Context, path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make the socket's folder: %w", err)
	}

	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("remove the old socket: %w", err)
	}

	var config net.ListenConfig

	listener, err := config.Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}

	return listener, os.Chmod(path, 0o600)
}

// rest gives memory back when nothing has happened for a while: it is PostgreSQL's.
func (a *Archiver) rest(ctx context.Context) {
	before := ""

	for {
		select {
		case <-ctx.Done():
			return
		case <-a.clock.After(30 * time.Second):
		}

		now := a.activity()
		if now == before {
			if a.pusher != nil {
				a.pusher.dropBuffers()
			}

			debug.FreeOSMemory()
		}

		before = now
	}
}

func (a *Archiver) activity() string {
	fetched := a.fetch.Status()
	out := fmt.Sprint(fetched.Given, fetched.Failures)

	if a.pusher != nil {
		a.pusher.mu.Lock()
		defer a.pusher.mu.Unlock()

		out += fmt.Sprint(a.pusher.status.Sent, a.pusher.status.WereThere, a.pusher.status.Failures)
	}

	return out
}

// dropBuffers of workers that are idle.
func (p *pusher) dropBuffers() {
	for range cap(p.slots) {
		select {
		case <-p.slots:
			p.slots <- nil
		default:
			return
		}
	}
}

// serve one connection: requests one after the other, one a line. See package walclient.
func (a *Archiver) serve(ctx context.Context, conn net.Conn) {
	defer func() { _ = conn.Close() }()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()

	for lines := bufio.NewScanner(conn); lines.Scan(); {
		if _, err := fmt.Fprintf(conn, "%s\n", a.answer(ctx, lines.Text())); err != nil {
			return
		}
	}
}

func (a *Archiver) answer(ctx context.Context, request string) string {
	verb, rest, _ := strings.Cut(request, "\t")

	switch verb {
	case walclient.VerbPush:
		if a.pusher == nil {
			return walclient.AnswerError + "\tno archive is configured"
		}

		return answerOf(a.pusher.Push(ctx, rest))
	case walclient.VerbFetch:
		name, dest, ok := strings.Cut(rest, "\t")
		if !ok || !filepath.IsAbs(dest) {
			return walclient.AnswerError + "\twant a name and an absolute path"
		}

		return answerOf(a.fetch.Fetch(ctx, name, dest))
	case walclient.VerbStatus:
		text, err := json.Marshal(a.Status(ctx))
		if err != nil {
			return answerOf(err)
		}

		return string(text)
	default:
		return walclient.AnswerError + "\tunknown request " + verb
	}
}

// Status now.
func (a *Archiver) Status(ctx context.Context) archiveapi.Status {
	status := archiveapi.Status{Fetch: a.fetch.Status()}

	if a.pusher != nil {
		push := a.pusher.Status(ctx)
		status.Push = &push
	}

	return status
}

func answerOf(err error) string {
	switch {
	case err == nil:
		return walclient.AnswerOK
	case errors.Is(err, objectstore.ErrNotFound):
		return walclient.AnswerMissing
	default:
		return walclient.AnswerError + "\t" + strings.Join(strings.Fields(err.Error()), " ")
	}
}
