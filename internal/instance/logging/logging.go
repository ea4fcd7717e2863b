// Package logging writes structured lines to the container's output without ever waiting for whoever reads it.
package logging

import (
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
)

// queued is how many lines may wait for a reader that is slow.
const queued = 1024

// Async is a writer whose Write never blocks: lines wait in a queue, and are dropped while it is full.
type Async struct {
	lines   chan []byte
	dropped atomic.Int64
	quit    chan struct{}
	done    chan struct{}
}

// NewAsync writes to out in the background, until Close.
func NewAsync(out io.Writer) *Async {
	a := &Async{lines: make(chan []byte, queued), quit: make(chan struct{}), done: make(chan struct{})}

	go func() {
		defer close(a.done)

		for {
			select {
			case line := <-a.lines:
				// There is nowhere to tell of a log that cannot be written.
				_, _ = out.Write(line)
			case <-a.quit:
				a.flush(out)

				return
			}
		}
	}()

	return a
}

// flush writes what is queued.
func (a *Async) flush(out io.Writer) {
	for {
		select {
		case line := <-a.lines:
			_, _ = out.Write(line)
		default:
			return
		}
	}
}

// Write queues a line. It never fails and never blocks.
func (a *Async) Write(line []byte) (int, error) {
	select {
	case a.lines <- append([]byte(nil), line...):
	default:
		a.dropped.Add(1)
	}

	return len(line), nil
}

// Dropped is how many lines were lost.
func (a *Async) Dropped() int64 { return a.dropped.Load() }

// Close writes what is queued. What is written afterwards is lost.
func (a *Async) Close() {
	close(a.quit)
	<-a.done
}

// Identity is on every line.
type Identity struct {
	Cluster, Namespace, Instance string
}

// New makes a logger of JSON lines: level (lower case), time, msg, logger, cluster, namespace, instance.
func New(out io.Writer, level slog.Level, id Identity) *slog.Logger {
	handler := slog.NewJSONHandler(out, &slog.HandlerOptions{
		Level: level,
		ReplaceAttr: func(groups []string, attr slog.Attr) slog.Attr {
			if len(groups) == 0 && attr.Key == slog.LevelKey {
				return slog.String(slog.LevelKey, strings.ToLower(attr.Value.String()))
			}

			return attr
		},
	})

	return slog.New(handler).With("cluster", id.Cluster, "namespace", id.Namespace, "instance", id.Instance)
}
