package instance

import (
	"errors"
	"sync"
	"time"

	"github.com/caretaker-dev/caretaker/internal/ha"
)

const (
	// streamingGrace is how long a replica stays ready without streaming while there is a primary: it restarts, another
	// takes over, the network blinks.
	streamingGrace = 10 * time.Second
	// alone is how long a replica that reaches nobody at all stays ready.
	alone = time.Minute
)

// A replica that does not stream is never healthy. Whether it goes on serving reads is another question:
//
//	it streamed a moment ago                       yes
//	its data can never catch up                    no
//	a primary lives, for longer than a moment      no: others have newer data, and so would the client
//	nobody knows of a primary                      yes: nothing newer is to be had anywhere
//	it reaches nobody who would know, for a while  no
//
// See docs/decisions/0039.

// errOrphaned: it serves reads, and is not healthy.
var errOrphaned = errors.New("no primary is known; this replica still serves reads")

// orphan remembers what a replica hears of a primary.
type orphan struct {
	mu sync.Mutex
	// first is when it began to listen, known since when a primary has been known without a break, asked when somebody
	// who would know last answered.
	first, known, asked time.Time
}

// hear takes the word of a primary over.
func (o *orphan) hear(now time.Time, word ha.Word) {
	o.mu.Lock()
	defer o.mu.Unlock()

	if o.first.IsZero() {
		o.first, o.asked = now, now
	}

	if word.Fresh {
		o.asked = now
	}

	switch {
	case !word.Primary:
		o.known = time.Time{}
	case o.known.IsZero():
		o.known = now
	}
}

// verdict on a replica that does not stream.
type verdict int

const (
	// wait: it may stream any moment.
	verdictWait verdict = iota
	// serve: nothing newer is to be had.
	verdictServe
	// behind: a primary lives, and it does not stream from it.
	verdictBehind
	// isolated: it cannot know.
	verdictIsolated
)

// judge a replica that last streamed at that time; zero for never since PostgreSQL started.
func (o *orphan) judge(now, streamed time.Time) verdict {
	o.mu.Lock()
	defer o.mu.Unlock()

	recent := func(t time.Time, age time.Duration) bool { return !t.IsZero() && now.Sub(t) < age }

	switch {
	case recent(streamed, streamingGrace):
		return verdictWait
	case o.first.IsZero():
		return verdictBehind
	case !o.known.IsZero() && !streamed.IsZero() && recent(o.known, streamingGrace):
		return verdictWait
	case !o.known.IsZero(), recent(o.first, streamingGrace):
		return verdictBehind
	case !recent(o.asked, alone):
		return verdictIsolated
	default:
		return verdictServe
	}
}
