package ha

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"
)

func configs() []opt {
	std := opt{n: 3, acks: 1, fault: 30 * time.Second, writable: 20 * time.Second, heal: 60 * time.Second}
	mk := func(name string, f func(*opt)) opt {
		o := std
		o.name = name
		f(&o)

		return o
	}

	return []opt{
		mk("3", func(*opt) {}),
		mk("3-loss", func(o *opt) { o.loss = true }),
		mk("3-freeze", func(o *opt) { o.freeze = true }),
		mk("3-preferred", func(o *opt) { o.preferred = true }),
		mk("2", func(o *opt) { o.n = 2 }),
		mk("2-preferred", func(o *opt) { o.n, o.preferred = 2, true }),
		mk("2-preferred-freeze", func(o *opt) { o.n, o.preferred, o.freeze = 2, true, true }),
		mk("5-w2", func(o *opt) { o.n, o.acks = 5, 2 }),
		mk("4-w1", func(o *opt) { o.n = 4 }),
		mk("5-w2-loss-freeze", func(o *opt) { o.n, o.acks, o.loss, o.freeze = 5, 2, true, true }),
		mk("5-vary-acks", func(o *opt) { o.n, o.vary = 5, []int{1, 2} }),
		mk("3-vary-acks", func(o *opt) { o.vary = []int{0, 1} }),
		mk("3-vary-promise", func(o *opt) { o.promises = []time.Duration{2 * time.Second, 3 * time.Second, 5 * time.Second} }),
		mk("2-async-vary-promise", func(o *opt) {
			o.n, o.acks, o.promises = 2, 0, []time.Duration{2 * time.Second, 3 * time.Second, 5 * time.Second}
		}),
		mk("3-impatient", impatient),
		mk("5-w2-impatient-loss-freeze", func(o *opt) {
			o.n, o.acks, o.loss, o.freeze = 5, 2, true, true
			impatient(o)
		}),
		mk("2-preferred-impatient", func(o *opt) {
			o.n, o.preferred = 2, true
			impatient(o)
		}),
		mk("3-missing", func(o *opt) { o.missing = true }),
		mk("1", func(o *opt) { o.n, o.freeze = 1, true }),
		mk("2-async", func(o *opt) { o.n, o.acks = 2, 0 }),
		mk("3-async", func(o *opt) { o.acks = 0 }),
	}
}

// impatient: what takes minutes takes seconds, and so happens while other things do.
func impatient(o *opt) {
	o.establish, o.deaths, o.refuse = 2*time.Second, 2, true
	o.writable, o.heal = 60*time.Second, 90*time.Second
}

func (s *stats) add(o stats) {
	s.opened += o.opened
	s.switchovers += o.switchovers
	s.degraded += o.degraded
	s.changes += o.changes
	s.inPlace += o.inPlace
	s.rewinds += o.rewinds
	s.clones += o.clones
	s.fences += o.fences
	s.lost += o.lost
	s.frozen += o.frozen
	s.unrecoverable += o.unrecoverable
	s.acks += o.acks
	s.gaveUp += o.gaveUp
	s.dying += o.dying
}

func envNumber(t *testing.T, name string, def uint64) uint64 {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		return def
	}
	n, err := strconv.ParseUint(v, 10, 63)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}

	return n
}

// TestSimulation runs CARETAKER_SEEDS seeds over all configurations, or one with its trace: CARETAKER_SEED and
// CARETAKER_CONFIG.
func TestSimulation(t *testing.T) {
	t.Parallel()
	only := os.Getenv("CARETAKER_CONFIG")
	if os.Getenv("CARETAKER_SEED") != "" {
		s := envNumber(t, "CARETAKER_SEED", 0)
		for _, o := range configs() {
			if o.name == only {
				replay(t, o, s)
			}
		}

		return
	}
	seeds, first := envNumber(t, "CARETAKER_SEEDS", 10000), envNumber(t, "CARETAKER_FIRST", 0)
	cfgs := configs()
	per := seeds / uint64(len(cfgs))
	for _, o := range cfgs {
		if only != "" && o.name != only {
			continue
		}
		if only != "" {
			per = seeds
		}
		t.Run(o.name, func(t *testing.T) { t.Parallel(); soak(t, o, first, per) })
	}
}

func soak(t *testing.T, o opt, first, seeds uint64) {
	t.Helper()
	var sum stats
	var worst, joined time.Duration
	bad := 0
	start := time.Now()
	for i := first; i < first+seeds; i++ {
		w := simulate(o, i)
		sum.add(w.stats)
		worst, joined = max(worst, w.ackAt-o.fault), max(joined, w.joinedAt-o.fault)
		if w.fail != "" {
			bad++
			t.Errorf("seed %d: %s (replay: CARETAKER_CONFIG=%s CARETAKER_SEED=%d)", i, w.fail, o.name, i)
			if bad == 1 {
				replay(t, o, i)
			}
			if bad >= 10 {
				break
			}
		}
	}
	t.Logf("%d seeds in %v: %+v, writable after %v at most, all rejoined after %v",
		seeds, time.Since(start).Round(10*ms), sum, worst.Round(100*ms), joined.Round(100*ms))
}

func replay(t *testing.T, o opt, seed uint64) {
	t.Helper()
	o.trace = true
	w := simulate(o, seed)
	fmt.Printf("--- trace of %s, seed %d\n%s\n", o.name, seed, w.traceText())
	if w.fail != "" {
		t.Errorf("seed %d: %s", seed, w.fail)
	}
}
