package server_test

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/instance/pgbin"
	"github.com/caretaker-dev/caretaker/internal/instance/process"
	"github.com/caretaker-dev/caretaker/internal/instance/server"
)

// fake is a postgres that says when its traps are set: it makes the file ready beside itself.
func fake(trap string) string {
	return `#!/bin/sh
[ "$1" = --version ] && echo 'postgres (PostgreSQL) 17.5' && exit
` + trap + `
: >"$(dirname "$0")/ready"
while :; do sleep 0.05; done
`
}

// TestEnd: whoever waits for the end of a server may start the next before End returns. Only Stop kills what else runs.
func TestEnd(t *testing.T) {
	for name, script := range map[string]string{"in order": fake("trap 'exit 0' INT"), "not in time": fake("trap '' INT")} {
		t.Run(name, func(t *testing.T) {
			table := newTable(t)
			srv := start(t, table, script)

			next, err := table.Start(process.Command{Path: "/bin/sleep", Args: []string{"60"}})
			must(t, err)

			must(t, srv.End([]server.Phase{{Signal: syscall.SIGINT, Wait: 300 * time.Millisecond}}))
			await(t, "the server has ended", srv.Ended())

			// A kill arrives at once.
			select {
			case <-next.Done():
				t.Errorf("the next server is gone, too: %s", next.Exit())
			case <-time.After(100 * time.Millisecond):
			}

			must(t, srv.Stop(t.Context(), nil))
			await(t, "Stop has killed what is left", next.Done())
		})
	}
}

func start(t *testing.T, table *process.Table, script string) *server.Server {
	t.Helper()

	dir := t.TempDir()
	for _, name := range []string{"postgres", "initdb", "pg_basebackup", "pg_controldata"} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(script), 0o700))
	}

	programs, err := pgbin.Finder{Path: dir, Table: table, Env: os.Environ()}.Find(t.Context(), 17)
	must(t, err)

	lock, err := os.Create(filepath.Join(dir, "lock"))
	must(t, err)
	t.Cleanup(func() { _ = lock.Close() })

	silent := slog.New(slog.NewTextHandler(io.Discard, nil))
	srv := server.New(table, clock.RealClock{}, silent, silent)
	must(t, srv.Start(t.Context(), server.Start{Programs: programs, DataDir: t.TempDir(), SocketDir: t.TempDir(), Lock: lock}))

	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(dir, "ready")); err == nil {
			break
		}

		if time.Now().After(deadline) {
			t.Fatal("the server does not run within 10 s")
		}
	}

	return srv
}

func newTable(t *testing.T) *process.Table {
	t.Helper()

	table, err := process.NewTable(clock.RealClock{})
	must(t, err)

	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})

	go func() {
		defer close(ended)
		table.Run(ctx)
	}()

	t.Cleanup(func() {
		cancel()
		<-ended
	})

	return table
}

func await(t *testing.T, what string, done <-chan struct{}) {
	t.Helper()

	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatalf("not within 10 s: %s", what)
	}
}

func must(t *testing.T, err error) {
	t.Helper()

	if err != nil {
		t.Fatal(err)
	}
}
