package ha

import "testing"

func TestFork(t *testing.T) {
	first := Tip{Timeline: 1, LSN: 500}
	second := Tip{Timeline: 2, LSN: 900, History: []Switch{{1, 400}}}
	third := Tip{Timeline: 3, LSN: 950, History: []Switch{{1, 400}, {2, 700}}}
	other := Tip{Timeline: 4, LSN: 950, History: []Switch{{1, 300}}}

	for name, c := range map[string]struct {
		from, onto Tip
		timeline   uint32
		lsn        uint64
	}{
		"a primary that wrote on":             {first, second, 1, 400},
		"one that has not":                    {Tip{Timeline: 1, LSN: 350}, second, 1, 350},
		"a later timeline":                    {second, third, 2, 700},
		"neither has the other's timeline":    {third, other, 1, 300},
		"the same log":                        {third, third, 3, 950},
		"nothing in common":                   {Tip{Timeline: 7, LSN: 9}, third, 0, 0},
		"the timeline ended there in its own": {third, Tip{Timeline: 5, LSN: 990, History: []Switch{{1, 450}}}, 1, 400},
	} {
		t.Run(name, func(t *testing.T) {
			if timeline, lsn := c.from.Fork(c.onto); timeline != c.timeline || lsn != c.lsn {
				t.Errorf("timeline %d at %d, want %d at %d", timeline, lsn, c.timeline, c.lsn)
			}
		})
	}
}
