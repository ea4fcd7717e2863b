package ha

import (
	"testing"
)

func TestQuorumAndCover(t *testing.T) {
	cases := []struct {
		name    string
		voters  string
		acks    int
		quorum  int
		pledged string
		covered bool
	}{
		{"two of two voters for one acknowledgement", "BC", 1, 2, "BC", true},
		{"one is too few", "BC", 1, 2, "B", false},
		{"the primary's own pledge is enough", "BC", 1, 2, "A", true},
		{"others do not count", "BC", 1, 2, "BX", false},
		{"with two acknowledgements one may be missing", "BCD", 2, 2, "BD", true},
		{"all acknowledge: any one covers", "BC", 2, 1, "C", true},
		{"asynchronous: any one", "BC", 0, 1, "C", true},
		{"nobody but the primary may lead a degraded cluster", "", 0, 1, "BC", false},
		{"the primary may", "", 0, 1, "A", true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := Rule{Primary: Holder{Member: "A"}, Acks: c.acks}
			for _, v := range c.voters {
				r.Voters = with(r.Voters, MemberID(v))
			}
			if got := r.Quorum(); got != c.quorum {
				t.Errorf("quorum %d, want %d", got, c.quorum)
			}
			has := func(id MemberID) bool {
				for _, p := range c.pledged {
					if MemberID(p) == id {
						return true
					}
				}

				return false
			}
			if got := r.covers(has, r.Quorum()); got != c.covered {
				t.Errorf("covered %v, want %v", got, c.covered)
			}
		})
	}
}

// TestQuorumsMeet: whoever pledges and whoever acknowledges always have a voter in common.
func TestQuorumsMeet(t *testing.T) {
	for n := 1; n <= 8; n++ {
		for w := 1; w <= n; w++ {
			r := Rule{Voters: make([]MemberID, n), Acks: w}
			if r.Quorum()+w <= n {
				t.Errorf("n=%d W=%d R=%d", n, w, r.Quorum())
			}
		}
	}
}

func TestNextPending(t *testing.T) {
	r := &Record{Rule: Rule{Term: 4, Timeline: 7}}
	p := r.nextPending()
	if p.Term != 5 || p.Timeline != 8 {
		t.Fatalf("first: %+v", p)
	}
	p.MinLSN, p.Request, p.OldStopped = 99, "x", true
	r.Pending = p
	q := r.nextPending()
	if q.Term != 6 || q.Timeline != 9 {
		t.Errorf("a term or a timeline was given twice: %+v", q)
	}
	if q.MinLSN != 0 || q.Request != "" {
		t.Errorf("the request's minimum outlived the request: %+v", q)
	}
	if !q.OldStopped {
		t.Error("that the old primary has stopped for good was forgotten")
	}
}

func TestTips(t *testing.T) {
	// timeline 2 forked from 1 at 100, timeline 3 from 2 at 150
	one := func(lsn uint64) Tip { return Tip{Timeline: 1, LSN: lsn} }
	two := func(lsn uint64) Tip { return Tip{Timeline: 2, LSN: lsn, History: []Switch{{1, 100}}} }
	three := Tip{Timeline: 3, LSN: 151, History: []Switch{{1, 100}, {2, 150}}}
	cases := []struct {
		name           string
		a, leader      Tip
		follow, better bool
	}{
		{"behind the fork", one(90), two(120), true, false},
		{"at the fork", one(100), two(120), true, false},
		{"beyond the fork", one(101), two(120), false, false},
		{"far beyond, yet an older term", one(500), two(120), false, false},
		{"two forks on", one(100), three, true, false},
		{"beyond the second fork", two(151), three, false, false},
		{"same timeline, further on", two(130), two(120), true, true},
		{"newer timeline, shorter", three, two(400), false, true},
		{"empty volume", Tip{}, three, true, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := c.a.canFollow(c.leader); got != c.follow {
				t.Errorf("canFollow %v, want %v", got, c.follow)
			}
			if got := c.a.better(c.leader); got != c.better {
				t.Errorf("better %v, want %v", got, c.better)
			}
		})
	}
}
