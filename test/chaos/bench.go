package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	"github.com/caretaker-dev/caretaker/test/chaos/scenario"
	"github.com/caretaker-dev/caretaker/test/chaos/target"
	"github.com/caretaker-dev/caretaker/test/internal/page"
)

// benchRow is a row of the table of targets.
type benchRow struct {
	what, peer, target string
	c                  scenario.Case
	// p50 and worst that are aimed at; 0: none.
	p50, worst time.Duration
	// withOperator moves the primary to the node of the operator's leader first.
	withOperator bool
	// fenced adds how long the old primary still answered.
	fenced bool
}

const allowed = time.Minute

func benchRows(apiDown time.Duration) []benchRow {
	row := func(what, fault string, hold time.Duration, expect scenario.Expect) benchRow {
		return benchRow{what: what, peer: "–", c: scenario.Case{
			Instances: 3, Major: "17", Fault: fault, Victim: scenario.Primary, Activity: scenario.Steady, Hold: hold, Max: allowed, Expect: expect, Alone: true,
		}}
	}
	with := func(r benchRow, peer, aim string, p50, worst time.Duration) benchRow {
		r.peer, r.target, r.p50, r.worst = peer, aim, p50, worst

		return r
	}

	const s = time.Second

	switchover := with(row("planned switchover", "none", 3*s, scenario.Failover), "7.4 s", "p50 ≤ 1.5 s", 1500*time.Millisecond, 0)
	switchover.c.Activity = scenario.Switchover

	off := with(row("node power-off, the operator's leader on it", "node-off", 15*s, scenario.Failover), "73.8 s", "p50 ≤ 8 s, worst ≤ 12 s", 8*s, 12*s)
	off.withOperator = true

	cut := with(row("primary cut off from everything: new primary writable", "cut-all", 15*s, scenario.Failover), "–", "worst ≤ 8 s, fenced ≤ 4 s", 0, 8*s)
	cut.fenced = true

	return []benchRow{
		with(row("primary pod force-deleted", "pod-force-delete", 6*s, scenario.Either), "17.6 s, 18.6 s", "p50 ≤ 5 s, worst ≤ 8 s", 5*s, 8*s),
		with(row("`kill -9` of the postmaster", "kill-postgres", 6*s, scenario.Either), "10.6 s", "p50 ≤ 3 s", 3*s, 0),
		with(row("`kill -9` of PID 1 in the primary pod", "kill-pid1", 6*s, scenario.Either), "23.1 s", "p50 ≤ 5 s, worst ≤ 8 s", 5*s, 8*s),
		switchover,
		off,
		cut,
		// The last: for half a minute after it Kubernetes' own controllers may not look again, and no Service follows its pods.
		with(row(fmt.Sprintf("API server down for %v", apiDown), "api-down", apiDown, scenario.NoFailover), "–", "0 s; no failover", 0, 0),
	}
}

func bench(ctx context.Context, args []string) error {
	var (
		b    benching
		file string
	)

	err := parse("bench", args, b.register, func(flags *flag.FlagSet) {
		flags.IntVar(&b.runs, "runs", 5, "runs of each row")
		flags.DurationVar(&b.apiDown, "api-down", 30*time.Second, "how long the API server is down; the target says 10m")
		flags.StringVar(&b.only, "row", "", "only rows with this in their name or fault")
		flags.StringVar(&b.operator, "operator-namespace", "caretaker-system", "namespace of the operator")
		flags.StringVar(&file, "write", "", "write the table into this page, between its marks")
	})
	if err != nil {
		return err
	}

	if b.world, err = b.connect(); err != nil {
		return err
	}

	table, wrong := b.table(ctx)
	fmt.Print("\n" + table)

	if file != "" && ctx.Err() == nil {
		wrong = errors.Join(wrong, page.WriteTable(file, "failover", "make bench-failover", table))
	}

	return errors.Join(wrong, b.world.remove(ctx))
}

// benching is a run of the benchmark.
type benching struct {
	options

	world          *world
	runs           int
	apiDown        time.Duration
	only, operator string
}

func (b *benching) table(ctx context.Context) (string, error) {
	var (
		table strings.Builder
		wrong error
	)

	table.WriteString("| gap: longest time between two acknowledged writes | CloudNativePG | target | p50 | worst | runs | |\n|---|---|---|---|---|---|---|\n")

	for _, row := range benchRows(b.apiDown) {
		if strings.Contains(row.what+row.c.Fault, b.only) {
			line, err := b.measure(ctx, row)
			wrong = errors.Join(wrong, err)

			table.WriteString(line)
		}
	}

	return table.String(), wrong
}

// measure a row; runs that do not count are told and not counted.
func (b *benching) measure(ctx context.Context, row benchRow) (string, error) {
	var (
		gaps, fenced []time.Duration
		acknowledged int
		wrong        []string
	)

	for range b.runs {
		if ctx.Err() != nil {
			break
		}

		t, err := b.world.target(ctx, row.c)
		if err == nil && row.withOperator {
			err = moveToOperator(ctx, t, b.operator)
		}

		if err != nil {
			return "", err
		}

		result, err := b.world.runCase(ctx, row.c)
		if err != nil || !result.Passed() {
			wrong = append(wrong, row.what+": "+strings.Join(result.Violations, "; "))

			continue
		}

		gaps = append(gaps, result.Gap.Length())
		fenced = append(fenced, result.Fenced)
		acknowledged += result.Acknowledged
	}

	took := summary(gaps)
	words := []string{fmt.Sprintf("%d rows acknowledged, none lost", acknowledged)}

	if row.fenced {
		words = append(words, fmt.Sprintf("fenced after at most %.1f s", summary(fenced).Worst.Seconds()))
	}

	if (row.p50 > 0 && took.P50 > row.p50) || (row.worst > 0 && took.Worst > row.worst) {
		words = append(words, "**missed**")
	}

	if len(wrong) > 0 {
		words = append(words, fmt.Sprintf("**%d runs failed**", len(wrong)))
	}

	line := fmt.Sprintf("| %s | %s | %s | %.2f s | %.2f s | %d | %s |\n", row.what, row.peer, row.target, took.P50.Seconds(), took.Worst.Seconds(),
		took.Runs, strings.Join(words, "; "))

	if len(wrong) > 0 {
		return line, errors.New(strings.Join(wrong, "\n"))
	}

	return line, nil
}

// moveToOperator makes the instance on the node of the operator's leader the primary.
func moveToOperator(ctx context.Context, t *target.Target, operator string) error {
	cluster, ok := t.Product.(*target.Caretaker)
	if !ok {
		return nil
	}

	return await(ctx, allowed, func() error {
		node, err := cluster.OperatorNode(ctx, operator)
		if err != nil {
			return err
		}

		primary, err := t.Primary(ctx)
		if err != nil || primary.Spec.NodeName == node {
			return err
		}

		if err := cluster.Whole(ctx); err != nil {
			return err
		}

		pods, err := t.Pods(ctx)
		if err != nil {
			return err
		}

		for _, pod := range pods {
			if pod.Spec.NodeName == node {
				err = cluster.Switchover(ctx, pod.Name)
			}
		}

		// Long enough for it to be seen in the status.
		time.Sleep(5 * time.Second)

		return errors.Join(fmt.Errorf("the primary is not on %s, the node of the operator's leader", node), err)
	})
}

func await(ctx context.Context, limit time.Duration, try func() error) error {
	deadline := time.Now().Add(limit)

	for {
		err := try()
		if err == nil || ctx.Err() != nil || time.Now().After(deadline) {
			return err
		}

		time.Sleep(time.Second)
	}
}
