package build

import (
	"fmt"
	"io"
	"time"

	"k8s.io/utils/clock"
)

// Progress prints what is being done, with the seconds since the start.
type Progress struct {
	out   io.Writer
	clock clock.PassiveClock
	start time.Time
}

// NewProgress starts counting.
func NewProgress(out io.Writer, passive clock.PassiveClock) *Progress {
	return &Progress{out: out, clock: passive, start: passive.Now()}
}

// Printf prints one line.
func (p *Progress) Printf(format string, args ...any) {
	_, _ = fmt.Fprintf(p.out, "%5.1fs  %s\n", p.clock.Since(p.start).Seconds(), fmt.Sprintf(format, args...))
}
