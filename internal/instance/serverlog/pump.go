package serverlog

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/postgres"
)

const pollInterval = 250 * time.Millisecond

// Pump passes the server's log on, until its context ends.
type Pump struct {
	// Dir the collector writes to.
	Dir string
	// Major of the server decides the format.
	Major int
	// Clock times the polls.
	Clock clock.Clock
	// Log takes the messages.
	Log *slog.Logger
	// Rotate asks the server to open its log files anew.
	Rotate func() error
	// Watch is called with each message and says whether to pass it on; may be nil.
	Watch func(Entry) bool

	// passed are the last messages of a standby's replication, and when they were passed on.
	passed map[string]time.Time
}

// Run follows the log files. At the end of the context it reads once more: the last words matter most.
func (p *Pump) Run(ctx context.Context) {
	structured := &follower{path: filepath.Join(p.Dir, postgres.LogFile(p.Major)), rotate: p.Rotate}
	parse := parseJSON

	if filepath.Ext(structured.path) == ".csv" {
		structured.isComplete, parse = hasEvenQuotes, parseCSV
	}

	plain := &follower{path: filepath.Join(p.Dir, postgres.PlainLogFile), rotate: p.Rotate}

	poll := func() {
		p.check(ctx, structured.poll(func(record string) {
			entry, err := parse(record)
			if err != nil {
				p.Log.Info(record)

				return
			}

			p.pass(ctx, entry)
		}))
		p.check(ctx, plain.poll(func(line string) {
			if !IsAboutLog(line) {
				p.Log.Info(line)
			}
		}))
	}

	for ctx.Err() == nil {
		poll()

		select {
		case <-p.Clock.After(pollInterval):
		case <-ctx.Done():
		}
	}

	poll()
}

func (p *Pump) pass(ctx context.Context, entry Entry) {
	if p.Watch != nil && !p.Watch(entry) || IsAboutLog(entry.Message) || p.isRepeated(entry) {
		return
	}

	if !p.Log.Enabled(ctx, entry.Level()) {
		return
	}

	at, ok := entry.Time()
	if !ok {
		at = p.Clock.Now()
	}

	record := slog.NewRecord(at, entry.Level(), entry.Message, 0)
	record.AddAttrs(entry.Attrs()...)

	// Nothing can be done about a log that cannot be written.
	_ = p.Log.Handler().Handle(ctx, record)
}

func (p *Pump) check(ctx context.Context, err error) {
	if err != nil {
		p.Log.WarnContext(ctx, "following the server's log failed", "error", err)
	}
}

// repeatInterval is how often one and the same message of a standby's replication is passed on.
const repeatInterval = 10 * time.Second

// maxPassed bounds how many messages are remembered.
const maxPassed = 16

// isRepeated says whether a message was passed on a moment ago: a standby looks for its primary ten times a second, so that it finds the next one soon, and each time
// says the same.
func (p *Pump) isRepeated(entry Entry) bool {
	if entry.BackendType != "walreceiver" && entry.BackendType != "startup" {
		return false
	}

	now := p.Clock.Now()
	if at, ok := p.passed[entry.Message]; ok && now.Sub(at) < repeatInterval {
		return true
	}

	if p.passed == nil || len(p.passed) >= maxPassed {
		p.passed = map[string]time.Time{}
	}

	p.passed[entry.Message] = now

	return false
}

// IsAboutLog says whether a message only tells where further messages go, which is of no use to those who read them
// from us.
func IsAboutLog(message string) bool {
	return strings.Contains(message, "redirecting log output to logging collector") ||
		strings.Contains(message, "ending log output to stderr") || strings.Contains(message, "Future log output will")
}
