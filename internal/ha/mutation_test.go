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
	name    string
	guard   guard
	configs []string
}

// mutantSeeds for each configuration of a mutant: several times what it took.
const mutantSeeds = 200

func randomMutants() []mutant {
	return []mutant{
		{"Quorum", gQuorum, []string{"3-preferred", "5-vary-acks", "4-w1"}},
		{"Best", gBest, []string{"3-preferred", "5-vary-acks"}},
		{"NameCAS", gNameCAS, []string{"3-freeze", "3", "2"}},
		{"EstCAS", gEstCAS, []string{"2-preferred-freeze", "2-preferred"}},
		{"Gate", gGate, []string{"3-freeze", "2-preferred", "3"}},
		{"Barrier", gBarrier, []string{"2-preferred-freeze", "3-preferred", "3-loss"}},
		{"ChooseAfter", gChooseAfter, []string{"3-preferred", "4-w1"}},
		{"UniqueTL", gUniqueTL, []string{"3", "3-freeze", "4-w1"}},
		{"ClientsOut", gClientsOut, []string{"2-preferred-freeze", "3", "5-w2"}},
		{"Drift", gDrift, []string{"3-freeze", "2-preferred-freeze"}},
		{"Prefix", gPrefix, []string{"2", "3", "3-loss"}},
	}
}

// TestMutationRandom: the guards that random search misses soon enough, each in the configuration where it does soonest.
func TestMutationRandom(t *testing.T) {
	t.Parallel()
	for _, c := range randomMutants() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for i := range uint64(mutantSeeds) {
				for _, name := range c.configs {
					o := configOf(t, name)
					o.off = c.guard
					if c.guard != gPrefix {
						o.noLive, o.heal = true, 8*time.Second // only what must never happen counts
					}
					if w := simulate(o, i); w.fail != "" {
						t.Logf("%s, seed %d: %s", name, i, w.fail)
						return
					}
				}
			}
			t.Errorf("%d seeds of each of %v did not notice", mutantSeeds, c.configs)
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
