package instance

import (
	"testing"
	"time"

	"github.com/caretaker-dev/caretaker/internal/postgres"
)

func TestReplayEnd(t *testing.T) {
	const at, more = postgres.LSN(0x70BFF70), postgres.LSN(0x70C0000)

	ms := func(n int) time.Duration { return time.Minute + time.Duration(n)*time.Millisecond }
	idle := func(now int, received, replayed postgres.LSN, sleeps uint64) replaySample {
		return replaySample{now: ms(now), received: received, replayed: replayed, isIdle: true, sleeps: sleeps}
	}
	busy := func(now int, received, replayed postgres.LSN) replaySample {
		return replaySample{now: ms(now), received: received, replayed: replayed}
	}

	for name, c := range map[string]struct {
		samples []replaySample
		want    bool
	}{
		"all that was received is replayed": {[]replaySample{idle(0, at, at, 1), idle(20, at, at, 1)}, true},
		"seen once":                         {[]replaySample{idle(0, at, at, 1)}, false},
		"after a restart nothing was received": {
			[]replaySample{busy(0, 0, at-8), idle(20, 0, at, 1), idle(40, 0, at, 1)}, true,
		},
		"still replaying":        {[]replaySample{idle(0, more, at, 1), busy(20, more, at+8), idle(40, more, at+16, 2)}, false},
		"the end never came":     {[]replaySample{idle(0, more, at, 1), busy(200, more, at), idle(320, more, at, 4)}, true},
		"not waited long enough": {[]replaySample{idle(0, more, at, 1), idle(280, more, at, 4)}, false},
		"it got no time to look": {[]replaySample{idle(0, more, at, 1), idle(5000, more, at, 2)}, false},
		"it found more":          {[]replaySample{idle(0, more, at-8, 1), idle(320, more, at, 4)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			var (
				w    replayWatch
				done bool
			)

			for _, s := range c.samples {
				if done {
					t.Fatal("done too early")
				}

				done = w.done(s)
			}

			if done != c.want {
				t.Errorf("done %v, want %v", done, c.want)
			}
		})
	}
}

// What holds replay back is looked for once a second, and never at the end of the log.
func TestReplayStuck(t *testing.T) {
	var w replayWatch

	helped := 0

	for now := time.Minute; now < time.Minute+3500*time.Millisecond; now += 20 * time.Millisecond {
		s := replaySample{now: now, received: 200, replayed: 100}
		if w.done(s) {
			t.Fatal("done")
		}

		if w.stuck(s) {
			helped++
		}
	}

	if helped != 3 {
		t.Errorf("helped %d times in 3.5 s, want 3", helped)
	}

	if s := (replaySample{now: time.Hour, received: 200, replayed: 100, isIdle: true}); w.stuck(s) {
		t.Error("at the end of the log nothing holds replay back")
	}
}
