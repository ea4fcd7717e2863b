package progress

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// interval is how often a step that takes long says that it is still at work.
const interval = 20 * time.Second

// Printer writes one line for each finished step.
type Printer struct {
	mu  sync.Mutex
	out io.Writer
}

// New returns a Printer that writes to out.
func New(out io.Writer) *Printer { return &Printer{out: out} }

// Line writes a line.
func (p *Printer) Line(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = fmt.Fprintf(p.out, format+"\n", args...)
}

// Step runs work and then tells how long it took. It is silent about work that fails:
// the error says what happened.
func (p *Printer) Step(what string, work func() error) error {
	start := time.Now()
	if err := work(); err != nil {
		return err
	}
	p.Line("  %-44s %6.1f s", what, time.Since(start).Seconds())
	return nil
}

// LongStep is Step for work that lasts minutes: it announces the work, and says
// every now and then that it is still at it.
func (p *Printer) LongStep(what, expected string, work func() error) error {
	start := time.Now()
	p.Line("  %s (%s) ...", what, expected)
	done := make(chan struct{})
	defer close(done)
	go func() {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				p.Line("  %s ... %.0f s", what, time.Since(start).Seconds())
			}
		}
	}()
	if err := work(); err != nil {
		return err
	}
	p.Line("  %-44s %6.1f s", what, time.Since(start).Seconds())
	return nil
}
