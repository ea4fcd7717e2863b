package instance

import (
	"testing"
	"time"

	"github.com/caretaker-dev/caretaker/internal/ha"
)

// A replica that has lost its primary goes on serving reads, unless others still have a primary.
func TestOrphan(t *testing.T) {
	t.Parallel()

	var (
		heard = ha.Word{Primary: true, Fresh: true}
		lost  = ha.Word{Fresh: true}
		alone = ha.Word{}
	)

	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

	for _, tc := range []struct {
		name string
		// words, one each second, up to now.
		words []ha.Word
		// streamed until so many seconds ago; negative for never.
		streamed int
		want     verdict
	}{
		{"a blink", repeat(60, heard), 3, verdictWait},
		{"a primary that others follow", repeat(60, heard), 11, verdictBehind},
		{"no primary, at first", repeat(5, lost), 5, verdictWait},
		{"no primary", append(repeat(60, heard), repeat(20, lost)...), 21, verdictServe},
		{"no primary, for an hour", append(repeat(60, heard), repeat(3600, lost)...), 3601, verdictServe},
		{"a new primary, a moment ago", append(repeat(60, lost), repeat(4, heard)...), 64, verdictWait},
		{"a new primary, and it does not stream", append(repeat(60, lost), repeat(11, heard)...), 71, verdictBehind},
		{"nobody answers, a moment", append(repeat(60, heard), repeat(30, alone)...), 31, verdictServe},
		{"nobody answers", append(repeat(60, heard), repeat(61, alone)...), 62, verdictIsolated},
		{"somebody answers again", append(repeat(300, alone), lost), 300, verdictServe},
		{"just started, with a primary", repeat(5, heard), -1, verdictBehind},
		{"just started, nothing heard yet", repeat(5, lost), -1, verdictBehind},
		{"just started, without a primary", repeat(11, lost), -1, verdictServe},
		{"takes no part in failover", nil, 11, verdictBehind},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()

			var o orphan

			now := start
			for _, word := range tc.words {
				now = now.Add(time.Second)
				o.hear(now, word)
			}

			streamed := now.Add(-time.Duration(tc.streamed) * time.Second)
			if tc.streamed < 0 {
				streamed = time.Time{}
			}

			if got := o.judge(now, streamed); got != tc.want {
				t.Errorf("verdict %d, want %d", got, tc.want)
			}
		})
	}
}

func repeat(n int, word ha.Word) []ha.Word {
	words := make([]ha.Word, n)
	for i := range words {
		words[i] = word
	}

	return words
}
