package dump

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/caretaker-dev/caretaker/internal/archiveapi"
)

// controlSocket in a Scratch's folder is where a server is asked for. Whoever connects has one for as long as he stays connected.
// What is said on it are words, one a line: that the server serves, or why there is none, and then, perhaps, that it has ended.
const controlSocket = "control"

const (
	// leaseDial is how long the container that runs servers may take to listen.
	leaseDial = time.Minute
	// lastWord is how long is waited for the reason of a failure that may have been the server's end.
	lastWord = 3 * time.Second
)

type word struct {
	Server string `json:"server,omitempty"`
	Error  string `json:"error,omitempty"`
}

// Serve gives a fresh server to whoever connects, one at a time, until the context ends.
func (s Scratch) Serve(ctx context.Context, log io.Writer) error {
	// A container that was killed has left its own.
	if err := os.Remove(filepath.Join(s.Dir, controlSocket)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("listen for whoever needs a throw-away server: %w", err)
	}

	listener, err := (&net.ListenConfig{}).Listen(ctx, "unix", filepath.Join(s.Dir, controlSocket))
	if err != nil {
		return fmt.Errorf("listen for whoever needs a throw-away server: %w", err)
	}

	stop := context.AfterFunc(ctx, func() { _ = listener.Close() }) // ends Accept
	defer stop()

	for {
		conn, err := listener.Accept()
		if ctx.Err() != nil {
			return nil
		}

		if err != nil {
			return fmt.Errorf("listen for whoever needs a throw-away server: %w", err)
		}

		if err := s.serveOne(ctx, conn, log); err != nil {
			return err
		}
	}
}

func (s Scratch) serveOne(ctx context.Context, conn net.Conn, log io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer conn.Close() //nolint:errcheck // nothing is written that must arrive

	go func() {
		defer cancel()

		_, _ = io.Copy(io.Discard, conn) // ends when the other side hangs up
	}()

	say := func(w word) {
		_ = json.NewEncoder(conn).Encode(w) //nolint:errchkjson // whoever has gone needs to hear nothing
	}

	// What an earlier run of this container has left.
	if err := s.wipe(); err != nil {
		say(word{Error: err.Error()})

		return err
	}

	server, err := s.start(ctx, log)
	if err != nil {
		say(word{Error: err.Error()})
		<-ctx.Done()

		return s.wipe()
	}

	say(word{Server: server.version})

	if err := s.watch(ctx, server); err != nil {
		say(word{Error: err.Error()})
	}

	<-ctx.Done()
	server.stop()
	<-server.ended

	return s.wipe()
}

// watch until the server is not needed any more; an error if it ended before, or was ended since it took too much room.
func (s Scratch) watch(ctx context.Context, server *scratchServer) error {
	ticker := s.Clock.NewTicker(scratchPoll)
	defer ticker.Stop()

	for {
		select {
		case <-ctx.Done():
			return nil
		case <-server.ended:
			if ctx.Err() != nil {
				return nil // as it was told to
			}

			return fmt.Errorf("the throw-away server ended: %w", server.err)
		case <-ticker.C():
			if s.MaxBytes > 0 && s.taken() > s.MaxBytes {
				server.stop()

				return fmt.Errorf("the restored dump takes more room than %s: raise spec.verification.size", archiveapi.Size(s.MaxBytes))
			}
		}
	}
}

// lease is a server that was asked for.
type lease struct {
	conn net.Conn
	// version of the server.
	version string
	// ended is closed when the server has, before the lease has; err says why then.
	ended chan struct{}
	err   error
}

// ask for a server, and wait for it.
func (s Scratch) ask(ctx context.Context) (*lease, error) {
	conn, err := s.dialControl(ctx)
	if err != nil {
		return nil, err
	}

	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // ends the wait
	defer stop()

	words := bufio.NewScanner(conn)

	first, err := hear(words)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}

	l := &lease{conn: conn, version: first.Server, ended: make(chan struct{})}

	go func() {
		defer close(l.ended)

		_, l.err = hear(words)
	}()

	return l, nil
}

func (s Scratch) dialControl(ctx context.Context) (net.Conn, error) {
	deadline := s.Clock.After(leaseDial)

	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(s.Dir, controlSocket))
		if err == nil {
			return conn, nil
		}

		select {
		case <-s.Clock.After(scratchPoll):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-deadline:
			return nil, fmt.Errorf("nobody gives a throw-away server: %w", err)
		}
	}
}

// hear the next word.
func hear(words *bufio.Scanner) (word, error) {
	var w word

	if !words.Scan() {
		return w, errors.New("the container of the throw-away server ended, as it does when it needs more memory than spec.verification.resources allows")
	}

	if err := json.Unmarshal(words.Bytes(), &w); err != nil {
		return w, fmt.Errorf("the container of the throw-away server is not understood: %w", err)
	}

	if w.Error != "" {
		return w, errors.New(w.Error)
	}

	return w, nil
}

// during the lease work is done, and stopped if the server ends. That is the error then.
func (l *lease) during(ctx context.Context, s Scratch, work func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	stopped := make(chan struct{})
	defer close(stopped)

	go func() {
		select {
		case <-l.ended:
			cancel()
		case <-stopped:
		}
	}()

	err := work(ctx)
	if err == nil {
		return nil
	}

	// Whoever works may see the end of the server before its reason is heard.
	select {
	case <-l.ended:
		return l.err
	case <-s.Clock.After(lastWord):
		return err
	}
}

func (l *lease) close() { _ = l.conn.Close() } // the other side sees that it is over

// dial says whether somebody listens on a Unix socket.
func dial(ctx context.Context, path string) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		return err
	}

	return conn.Close()
}
