// Command caretaker-wal is PostgreSQL's archive_command and restore_command. It asks the archiver, which does the work
// (`caretaker-archive archiver`), and is a program of its own so that it starts at once: PostgreSQL runs it for each segment.
//
//	archive_command = '/path/caretaker-wal push %p'
//	restore_command = '/path/caretaker-wal fetch %f %p'
//
// The archiver's socket is that of the variable CARETAKER_WAL_SOCKET, or of the flag --socket before the verb.
//
// Exit codes of push: 0 archived, 1 not archived. Of fetch: 0 there, 1 not in the archive, 126 anything else, upon which
// PostgreSQL stops recovery rather than ending it early. A standby gets 1 for anything else too: it streams instead, and
// does not end recovery by itself.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/caretaker-dev/caretaker/internal/walclient"
)

const (
	defaultSocket = "/run/caretaker/archiver.sock"

	exitFailed  = 1
	exitMissing = 1
	// exitAbort is above 125: PostgreSQL takes it for "the command could not be run" and stops.
	exitAbort = 126

	pushPatience    = 5 * time.Second
	standbyPatience = time.Second
	recoverPatience = 2 * time.Minute
)

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	// PostgreSQL ends a command with SIGTERM. To end by that signal, and not with a code, is what tells it so.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()

	endQuietly()

	socket := os.Getenv("CARETAKER_WAL_SOCKET")
	if socket == "" {
		socket = defaultSocket
	}

	if len(args) >= 2 && args[0] == "--socket" {
		socket, args = args[1], args[2:]
	}

	switch {
	case len(args) == 2 && args[0] == walclient.VerbPush:
		return push(ctx, socket, args[1])
	case len(args) == 3 && args[0] == walclient.VerbFetch:
		return fetch(ctx, socket, args[1], args[2])
	default:
		say("usage: caretaker-wal [--socket PATH] push %p | fetch %f %p")

		return exitAbort
	}
}

// endQuietly on SIGQUIT, by which PostgreSQL ends a command at once: Go would write a page of stacks into its log.
func endQuietly() {
	quit := make(chan os.Signal, 1)
	signal.Notify(quit, syscall.SIGQUIT)

	go func() {
		<-quit

		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}()
}

func push(ctx context.Context, socket, path string) int {
	name := filepath.Base(path)

	if err := (walclient.Client{Socket: socket, Patience: pushPatience}).Push(ctx, name); err != nil {
		say(fmt.Sprintf("%s is not archived: %v", name, err))

		return exitFailed
	}

	return 0
}

func fetch(ctx context.Context, socket, name, path string) int {
	dest, err := filepath.Abs(path)
	if err != nil {
		say(err.Error())

		return exitAbort
	}

	isStandby := exists("standby.signal")

	patience := recoverPatience
	if isStandby {
		patience = standbyPatience
	}

	err = walclient.Client{Socket: socket, Patience: patience}.Fetch(ctx, name, dest)

	switch {
	case err == nil:
		return 0
	case errors.Is(err, walclient.ErrMissing):
		return exitMissing
	case isStandby:
		say(fmt.Sprintf("%s cannot be fetched, the standby will stream instead: %v", name, err))

		return exitMissing
	default:
		say(fmt.Sprintf("%s cannot be fetched: %v", name, err))

		return exitAbort
	}
}

// exists looks in the working directory, which is PGDATA when PostgreSQL runs a command.
func exists(name string) bool {
	_, err := os.Stat(name)

	return err == nil || !errors.Is(err, syscall.ENOENT)
}

// say something to PostgreSQL's log.
func say(text string) {
	_, _ = fmt.Fprintln(os.Stderr, "caretaker-wal: "+text)
}
