package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/caretaker-dev/caretaker/test/chaos/check"
	"github.com/caretaker-dev/caretaker/test/chaos/history"
	"github.com/caretaker-dev/caretaker/test/chaos/scenario"
)

func key(namespace, name string) client.ObjectKey {
	return client.ObjectKey{Namespace: namespace, Name: name}
}

func parse(name string, args []string, register ...func(*flag.FlagSet)) error {
	flags := flag.NewFlagSet("chaos "+name, flag.ContinueOnError)
	for _, r := range register {
		r(flags)
	}

	return flags.Parse(args)
}

func runCases(ctx context.Context, args []string) error {
	var (
		o         options
		set, name string
	)

	err := parse("run", args, o.register, func(flags *flag.FlagSet) {
		flags.StringVar(&set, "set", "all", "short, all, or long: all and the long ones")
		flags.StringVar(&name, "case", "", "only those whose name has this in it; several, divided by commas")
	})
	if err != nil {
		return err
	}

	cases := choose(set, name)
	if len(cases) == 0 {
		return fmt.Errorf("no case is called %q; chaos list tells all", name)
	}

	w, err := o.connect()
	if err != nil {
		return err
	}

	return errors.Join(w.runAll(ctx, cases), w.remove(ctx))
}

// choose cases by set and by parts of their names.
func choose(set, names string) []scenario.Case {
	var chosen []scenario.Case

	for _, c := range scenario.Cases() {
		if (set == "short" && !c.Short) || (set != "long" && c.Long) {
			continue
		}

		for name := range strings.SplitSeq(names, ",") {
			if strings.Contains(c.Name(), name) {
				chosen = append(chosen, c)

				break
			}
		}
	}

	return chosen
}

func (w *world) runAll(ctx context.Context, cases []scenario.Case) error {
	var (
		results []scenario.Result
		failed  []string
	)

	for _, c := range cases {
		if ctx.Err() != nil {
			break
		}

		if c.NotYet != "" {
			fmt.Printf("%-6s %-55s %s\n", "-", c.Name(), c.NotYet)

			continue
		}

		result, err := w.runCase(ctx, c)
		results = append(results, result)

		if err != nil || !result.Passed() {
			failed = append(failed, c.Name())
		}
	}

	if err := scenario.WriteJSON(filepath.Join(w.artifacts, "results.json"), results); err != nil {
		return err
	}

	fmt.Printf("\n%d cases, %d failed; histories in %s\n", len(results), len(failed), w.artifacts)

	if len(failed) > 0 {
		return fmt.Errorf("failed: %s", strings.Join(failed, ", "))
	}

	return ctx.Err()
}

// runCase runs one and tells of it.
func (w *world) runCase(ctx context.Context, c scenario.Case) (scenario.Result, error) {
	result := scenario.Result{Case: c.Name()}

	t, err := w.target(ctx, c)
	if err == nil {
		result, err = w.runner().Run(ctx, t, c)
	}

	if err != nil {
		result.Violations = append(result.Violations, "could not be run: "+err.Error())
		// The next one begins with a new Cluster.
		err = errors.Join(err, w.remove(ctx))
	}

	fmt.Println(&result)

	for _, line := range append(result.Violations, result.Notes...) {
		fmt.Println("       " + line)
	}

	return result, err
}

func list(context.Context, []string) error {
	out := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintln(out, "CASE\tHOLD\tGAP ALLOWED\tEXPECTED\tSET")

	for _, c := range scenario.Cases() {
		set := "all"

		switch {
		case c.NotYet != "":
			set = c.NotYet
		case c.Short:
			set = "short"
		case c.Long:
			set = "long"
		}

		_, _ = fmt.Fprintf(out, "%s\t%v\t%v\t%s\t%s\n", c.Name(), c.Hold, c.Max, c.Expect, set)
	}

	return out.Flush()
}

// checkHistory judges what needs no database: order of writers, registers, the gap.
func checkHistory(_ context.Context, args []string) error {
	if len(args) != 1 {
		return errors.New("usage: chaos check HISTORY.jsonl")
	}

	ops, err := history.Load(args[0])
	if err != nil {
		return err
	}

	violations := append(check.Writers(ops), check.Registers(ops, 0)...)
	for _, line := range violations {
		fmt.Println(line)
	}

	if len(ops) > 0 {
		gap := check.Longest(ops, 0, 0, ops[len(ops)-1].Complete)
		fmt.Printf("%d operations, longest gap %.2f s, from %.2f s\n", len(ops), gap.Length().Seconds(), gap.From.Seconds())
	}

	if len(violations) > 0 {
		return errors.New("the history violates what is promised")
	}

	return nil
}
