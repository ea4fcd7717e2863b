package ha

import "testing"

// TestRegressions runs the seeds that once failed. What a seed does changes when the simulator does; the scenarios keep
// what was learned.
func TestRegressions(t *testing.T) {
	seeds := map[string][]uint64{
		"3-async": {171}, // a silent voter asked for term after term
		"2-async": {241}, // the same
		// a lost volume's successor was not counted as one that can follow; a standby that lacked WAL did not elect
		"3-loss":             {538, 5512},
		"5-w2-loss-freeze":   {2906},
		"2-preferred-freeze": {10277, 12744}, // established by a write whose answer was lost, after it had stepped down
	}
	for _, o := range configs() {
		for _, s := range seeds[o.name] {
			if w := simulate(o, s); w.fail != "" {
				replay(t, o, s)
			}
		}
	}
}
