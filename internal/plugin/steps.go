package plugin

import (
	"fmt"
	"io"
	"time"

	"k8s.io/utils/clock"
)

// takenWithin is how long the operator may take to begin before it is doubted.
const takenWithin = 15 * time.Second

// steps tells what happens, each step once, with the time since the beginning.
type steps struct {
	out   io.Writer
	clock clock.PassiveClock
	began time.Time
	said  map[string]bool
}

func newSteps(out io.Writer, c clock.PassiveClock) *steps {
	return &steps{out: out, clock: c, began: c.Now(), said: map[string]bool{}}
}

func (s *steps) step(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if s.said[text] {
		return
	}

	s.said[text] = true
	// Whoever does not listen still has it done.
	_ = say(s.out, "%6.1f s  %s", s.clock.Since(s.began).Seconds(), text)
}

// doubt that there is an operator, if nothing has happened for a while.
func (s *steps) doubt() {
	if s.clock.Since(s.began) > takenWithin {
		s.step("the operator has not begun; is it running? (kubectl get pods -A -l app.kubernetes.io/name=caretaker)")
	}
}

func say(out io.Writer, format string, args ...any) error {
	_, err := fmt.Fprintf(out, format+"\n", args...)

	return err //nolint:wrapcheck // standard output is closed; there is nothing to add
}
