package instance

import "testing"

// TestTheNextOneIsWaitedFor: a stop cuts off who is behind as soon as one replica has everything, but not the one that was asked for.
func TestTheNextOneIsWaitedFor(t *testing.T) {
	t.Parallel()

	sender := func(pid int) pgProcess {
		return pgProcess{pid: pid, title: "postgres: walsender streaming_replica 10.0.0.1(40000) streaming 0/5000000"}
	}
	checkpointer := pgProcess{pid: 4, title: "postgres: checkpointer"}

	for name, tc := range map[string]struct {
		next int
		left []pgProcess
		want bool
	}{
		"both are sent to":                       {0, []pgProcess{checkpointer, sender(10), sender(11)}, false},
		"one has everything":                     {0, []pgProcess{checkpointer, sender(11)}, true},
		"one has everything, the next has not":   {11, []pgProcess{checkpointer, sender(11)}, false},
		"the next has everything, another lacks": {11, []pgProcess{checkpointer, sender(10)}, true},
		"all have everything":                    {11, []pgProcess{checkpointer}, true},
	} {
		if got := (stillSending{began: 2, next: tc.next}).isEnough(tc.left); got != tc.want {
			t.Errorf("%s: enough: %t, want %t", name, got, tc.want)
		}
	}
}
