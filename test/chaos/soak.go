package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/caretaker-dev/caretaker/test/chaos/check"
	"github.com/caretaker-dev/caretaker/test/chaos/history"
	"github.com/caretaker-dev/caretaker/test/chaos/scenario"
	"github.com/caretaker-dev/caretaker/test/chaos/target"
)

// soakFaults take turns. The node's is rare, since a node takes its time to come back.
func soakFaults() []string {
	return []string{
		"pod-force-delete", "kill-postgres", "kill-pid1", "pod-force-delete", "kill-pid1",
		"pod-force-delete", "kill-postgres", "kill-pid1", "pod-force-delete", "node-off",
	}
}

// verdict is what a soak came to.
type verdict struct {
	Verdict string `json:"verdict"`
	// Failovers and Switchovers that happened: with a change of term.
	Failovers   int `json:"failovers"`
	Switchovers int `json:"switchovers"`
	// InPlace are faults after which the old primary went on.
	InPlace      int                   `json:"inPlace"`
	Acknowledged int                   `json:"acknowledged"`
	Lost         []string              `json:"lost,omitempty"`
	LongestWhole time.Duration         `json:"longestWhole"`
	Gaps         map[string]gapSummary `json:"gaps"`
	Took         time.Duration         `json:"took"`
	Failed       []scenario.Result     `json:"failed,omitempty"`
	gaps         map[string][]time.Duration
}

type gapSummary struct {
	Runs  int           `json:"runs"`
	P50   time.Duration `json:"p50"`
	Worst time.Duration `json:"worst"`
}

func soak(ctx context.Context, args []string) error {
	var (
		o                      options
		failovers, switchovers int
		goOn                   bool
		limit                  time.Duration
		pause                  string
	)

	err := parse("soak", args, o.register, func(flags *flag.FlagSet) {
		flags.IntVar(&failovers, "failovers", 200, "how many failovers")
		flags.IntVar(&switchovers, "switchovers", 200, "how many switchovers")
		flags.BoolVar(&goOn, "go-on", false, "go on after a failure")
		flags.StringVar(&pause, "pause-while", "", "begin no round while this file exists: something else is measured")
		flags.DurationVar(&limit, "limit", 0, "begin no round after this time; 0: no limit")
	})
	if err != nil {
		return err
	}

	w, err := o.connect()
	if err != nil {
		return err
	}

	s := &soaking{world: w, goOn: goOn, began: time.Now(), limit: limit, pause: pause}
	s.verdict.gaps = map[string][]time.Duration{}

	err = s.rounds(ctx, failovers, switchovers)
	if err != nil {
		// The cluster stays, to be looked at.
		return errors.Join(err, s.finish(ctx, failovers, switchovers))
	}

	return errors.Join(s.finish(ctx, failovers, switchovers), w.remove(ctx))
}

type soaking struct {
	*world

	goOn    bool
	began   time.Time
	limit   time.Duration
	pause   string
	verdict verdict
	results []scenario.Result
	target  *target.Target
}

func (s *soaking) rounds(ctx context.Context, failovers, switchovers int) error {
	for i := 0; ctx.Err() == nil && (s.verdict.Failovers < failovers || s.verdict.Switchovers < switchovers); i++ {
		if s.limit > 0 && time.Since(s.began) > s.limit {
			return nil
		}

		s.wait(ctx)

		c := scenario.Case{
			Instances: 3, Major: "17", Fault: "none", Victim: scenario.Primary, Activity: scenario.Switchover,
			Hold: 2 * time.Second, Max: 15 * time.Second, Expect: scenario.Failover,
		}
		if (i%2 == 0 && s.verdict.Failovers < failovers) || s.verdict.Switchovers >= switchovers {
			c.Fault = soakFaults()[(i/2)%len(soakFaults())]
			c.Activity, c.Expect = scenario.Steady, scenario.Either
		}

		if err := s.round(ctx, c); err != nil {
			return err
		}
	}

	return ctx.Err()
}

// wait while others measure.
func (s *soaking) wait(ctx context.Context) {
	for ctx.Err() == nil && s.pause != "" {
		if _, err := os.Stat(s.pause); err != nil {
			return
		}

		time.Sleep(time.Second)
	}
}

func (s *soaking) round(ctx context.Context, c scenario.Case) error {
	var err error

	if s.target, err = s.world.target(ctx, c); err != nil {
		return err
	}

	runner := s.runner()
	runner.KeepTables = true

	result, err := runner.Run(ctx, s.target, c)
	if err != nil {
		result.Violations = append(result.Violations, "could not be run: "+err.Error())
	}

	s.count(c, result)
	fmt.Printf("%3d failovers, %3d switchovers: %s\n", s.verdict.Failovers, s.verdict.Switchovers, &result)

	for _, line := range append(result.Violations, result.Notes...) {
		fmt.Println("       " + line)
	}

	if !result.Passed() && !s.goOn {
		return fmt.Errorf("stopped at the first failure: %s; its history is in %s", result.Case, runner.Folder(result))
	}

	return nil
}

func (s *soaking) count(c scenario.Case, result scenario.Result) {
	v := &s.verdict
	changed := result.TermAfter != "" && result.TermAfter != result.TermBefore

	switch {
	case c.Activity == scenario.Switchover && changed:
		v.Switchovers++
	case changed:
		v.Failovers++
	case c.Activity == scenario.Steady:
		v.InPlace++
	}

	v.Acknowledged += result.Acknowledged
	v.LongestWhole = max(v.LongestWhole, result.Whole)

	kind := c.Fault
	if c.Activity == scenario.Switchover {
		kind = "switchover"
	}

	v.gaps[kind] = append(v.gaps[kind], result.Gap.Length())

	if !result.Passed() {
		v.Failed = append(v.Failed, result)
	}

	s.results = append(s.results, result)
}

// finish looks for every row of every round once more, at the end of all.
func (s *soaking) finish(ctx context.Context, failovers, switchovers int) error {
	ctx = context.WithoutCancel(ctx)
	v := &s.verdict
	v.Lost = s.lost(ctx)
	v.Took = time.Since(s.began)
	v.Gaps = map[string]gapSummary{}

	for kind, gaps := range v.gaps {
		v.Gaps[kind] = summary(gaps)
	}

	v.Verdict = "passed"
	if len(v.Failed) > 0 || len(v.Lost) > 0 {
		v.Verdict = "failed"
	} else if v.Failovers < failovers || v.Switchovers < switchovers {
		v.Verdict = "passed as far as it came"
	}

	path := filepath.Join(s.artifacts, "verdict.json")

	fmt.Printf("\n%s: %d failovers, %d switchovers, %d times the primary went on in place; %d rows acknowledged, %d rounds with lost rows; "+
		"whole again after at most %.1f s\nverdict in %s\n", v.Verdict, v.Failovers, v.Switchovers, v.InPlace, v.Acknowledged, len(v.Lost),
		v.LongestWhole.Seconds(), path)

	for kind, gap := range v.Gaps {
		fmt.Printf("  %-18s %3d runs, gap p50 %.2f s, worst %.2f s\n", kind, gap.Runs, gap.P50.Seconds(), gap.Worst.Seconds())
	}

	if err := scenario.WriteJSON(path, v); err != nil {
		return err
	}

	if v.Verdict == "failed" {
		return errors.New("the soak failed")
	}

	return nil
}

func (s *soaking) lost(ctx context.Context) []string {
	if s.target == nil {
		return nil
	}

	node := ""
	if s.nodes != nil {
		node = s.nodes.Other()
	}

	endpoint, err := s.target.Endpoint(ctx, node)
	if err != nil {
		return []string{err.Error()}
	}

	var lost []string

	for _, result := range s.results {
		ops, err := history.Load(filepath.Join(s.runner().Folder(result), "history.jsonl"))
		if err != nil {
			lost = append(lost, err.Error())

			continue
		}

		state, err := endpoint.Rows(ctx, result.Run)
		if err != nil {
			lost = append(lost, fmt.Sprintf("%s %s: %v", result.Case, result.Run, err))

			continue
		}

		for _, line := range check.Appends(ops, []check.Node{{Name: "at the end", Rows: state.Rows}}) {
			lost = append(lost, result.Case+" "+result.Run+": "+line)
		}
	}

	return lost
}

func summary(gaps []time.Duration) gapSummary {
	if len(gaps) == 0 {
		return gapSummary{}
	}

	sorted := slices.SortedFunc(slices.Values(gaps), cmp.Compare[time.Duration])

	return gapSummary{Runs: len(sorted), P50: sorted[(len(sorted)-1)/2], Worst: sorted[len(sorted)-1]}
}
