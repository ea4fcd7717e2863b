package ha

import (
	"strings"
	"testing"
	"time"
)

// The mutation gate: each guard is taken away, and the simulator must notice. A guard that no test misses is either not
// needed or not tested.

// TestMutationDirected: without its guard each scenario ends in a violation.
func TestMutationDirected(t *testing.T) {
	for _, s := range scenarios() {
		t.Run(s.name, func(t *testing.T) {
			w := s.run(t, s.guard)
			if w.fail == "" {
				w.dump()
				t.Errorf("nobody noticed that the guard is gone\n%s", w.traceText())
			}
			t.Log(w.fail)
		})
	}
}

type mutant struct {
	name   string
	guard  guard
	config string
	seeds  uint64 // about three times what it took
}

func randomMutants() []mutant {
	return []mutant{
		{"Quorum", gQuorum, "3-preferred", 60},
		{"Best", gBest, "3-preferred", 60},
		{"NameCAS", gNameCAS, "3-freeze", 80},
		{"OrderByTerm", gOrderByTerm, "3-preferred", 300},
		{"EstCAS", gEstCAS, "2-preferred-freeze", 40},
		{"Barrier", gBarrier, "2-preferred-freeze", 200},
		{"ChooseAfter", gChooseAfter, "3-preferred", 60},
		{"UniqueTL", gUniqueTL, "3", 120},
		{"ClientsOut", gClientsOut, "3", 60},
		{"Term", gTerm, "4-w1", 80},
		{"Drift", gDrift, "3-freeze", 200},
		{"Prefix", gPrefix, "3", 60},
	}
}

// TestMutationRandom: the guards that random search misses soon enough, each in the configuration where it does soonest.
func TestMutationRandom(t *testing.T) {
	t.Parallel()
	for _, c := range randomMutants() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := configOf(t, c.config)
			o.off = c.guard
			if c.guard != gPrefix {
				o.noLive, o.heal = true, 8*time.Second // only what must never happen counts
			}
			for i := range c.seeds {
				if w := simulate(o, i); w.fail != "" {
					t.Logf("%s, seed %d: %s", c.config, i, w.fail)
					return
				}
			}
			t.Errorf("%d seeds of %s did not notice", c.seeds, c.config)
		})
	}
}

func configOf(t *testing.T, name string) opt {
	t.Helper()
	for _, o := range configs() {
		if o.name == name {
			return o
		}
	}
	t.Fatalf("no configuration %q", name)

	return opt{}
}

// TestMutationComplete: every guard is taken away by some test.
func TestMutationComplete(t *testing.T) {
	directed := guard(0)
	for _, s := range scenarios() {
		directed |= s.guard
	}
	random := guard(0)
	for _, c := range randomMutants() {
		random |= c.guard
	}
	var missing []string
	for name, g := range guardNames() {
		if (directed|random)&g == 0 {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		t.Errorf("no test takes these away: %s", strings.Join(missing, ", "))
	}
}
