package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/caretaker-dev/caretaker/test/chaos/fault"
	"github.com/caretaker-dev/caretaker/test/chaos/scenario"
	"github.com/caretaker-dev/caretaker/test/chaos/target"
)

// menuEntry is a fault as the menu offers it.
type menuEntry struct {
	fault  string
	victim scenario.Role
	hold   time.Duration
}

func menu() []menuEntry {
	const s = time.Second

	return []menuEntry{
		{"kill-postgres", scenario.Primary, 8 * s},
		{"kill-pid1", scenario.Primary, 8 * s},
		{"pod-force-delete", scenario.Primary, 8 * s},
		{"pod-delete", scenario.Primary, 8 * s},
		{"stop-postgres", scenario.Primary, 20 * s},
		{"node-off", scenario.Primary, 15 * s},
		{"cut-all", scenario.Primary, 15 * s},
		{"api-down", scenario.Primary, 15 * s},
		{"pod-force-delete", scenario.Replica, 8 * s},
		{"none", scenario.Primary, 5 * s},
	}
}

func (e menuEntry) String() string {
	if e.fault == "none" {
		return "nothing breaks: hand over to another instance (a planned switchover)"
	}

	return fmt.Sprintf("%s (the %s's)", fault.Kinds()[e.fault].Words, e.victim)
}

func breakSomething(ctx context.Context, args []string) error {
	var (
		o    options
		name string
	)

	err := parse("break", args, o.register, func(flags *flag.FlagSet) {
		flags.StringVar(&name, "fault", "", "a fault's name or its number in the menu; asked for if not given")
	})
	if err != nil {
		return err
	}

	o.slack = float64(time.Hour / time.Second)

	w, err := o.connect()
	if err != nil {
		return err
	}

	entry, err := ask(name)
	if err != nil {
		return err
	}

	t, err := w.target(ctx, scenario.Case{})
	if err != nil {
		return err
	}

	return w.show(ctx, t, entry)
}

// ask for a fault, unless it was named.
func ask(name string) (menuEntry, error) {
	if name == "" {
		fmt.Println("Clients will write to the primary all the time. What shall break?")

		for i, entry := range menu() {
			fmt.Printf("%3d  %s\n", i+1, entry)
		}

		fmt.Print("Number: ")

		line, err := bufio.NewReader(os.Stdin).ReadString('\n')
		if err != nil {
			return menuEntry{}, errors.New("no answer; without a terminal name one: FAULT=kill-postgres make break")
		}

		name = strings.TrimSpace(line)
	}

	if number, err := strconv.Atoi(name); err == nil && number >= 1 && number <= len(menu()) {
		return menu()[number-1], nil
	}

	if name == "switchover" {
		name = "none"
	}

	for _, entry := range menu() {
		if entry.fault == name {
			return entry, nil
		}
	}

	var names []string
	for _, entry := range menu() {
		names = append(names, entry.fault)
	}

	return menuEntry{}, fmt.Errorf("no fault %q in the menu: a number up to %d, or one of %s", name, len(menu()), strings.Join(names, ", "))
}

func (w *world) show(ctx context.Context, t *target.Target, entry menuEntry) error {
	began := time.Now().Add(-time.Second)
	runner := w.runner()
	runner.Tell = func(format string, a ...any) {
		fmt.Printf("%6.1f s  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, a...))
	}

	c := scenario.Case{Fault: entry.fault, Victim: entry.victim, Activity: scenario.Steady, Hold: entry.hold, Max: time.Second}
	if entry.fault == "none" {
		c.Activity = scenario.Switchover
	}

	result, err := runner.Run(ctx, t, c)
	if err != nil {
		return err
	}

	fmt.Printf("\nThe longest time without an acknowledged write: %.2f s. %d writes were acknowledged, and all of them are there: on the primary and on every replica.\n",
		result.Gap.Length().Seconds(), result.Acknowledged)
	fmt.Printf("The term was %s and is %s. What clients saw meanwhile:\n", result.TermBefore, result.TermAfter)

	for _, line := range distinct(result.Gap.Errors) {
		fmt.Println("    " + line)
	}

	fmt.Println("What the Cluster said (kubectl get events):")

	for _, line := range w.events(ctx, t.Namespace, began) {
		fmt.Println("    " + line)
	}

	if !result.Passed() {
		return fmt.Errorf("this should not have been:\n%s", strings.Join(result.Violations, "\n"))
	}

	return nil
}

// distinct lines, in their order, without those that differ only in an address.
func distinct(lines []string) []string {
	var seen []string

	for _, line := range lines {
		if _, after, found := strings.Cut(line, "): "); found {
			line = after
		}

		if !slices.Contains(seen, line) {
			seen = append(seen, line)
		}
	}

	return seen
}

// events of a namespace since a moment, in their order.
func (w *world) events(ctx context.Context, namespace string, since time.Time) []string {
	var list corev1.EventList
	if err := w.kube.Client.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return []string{err.Error()}
	}

	at := func(event corev1.Event) time.Time {
		latest := event.EventTime.Time
		if event.LastTimestamp.After(latest) {
			latest = event.LastTimestamp.Time
		}

		if event.Series != nil && event.Series.LastObservedTime.After(latest) {
			latest = event.Series.LastObservedTime.Time
		}

		return latest
	}

	events := slices.DeleteFunc(list.Items, func(event corev1.Event) bool {
		return at(event).Before(since) || event.InvolvedObject.Kind != "Cluster"
	})
	slices.SortStableFunc(events, func(a, b corev1.Event) int { return cmp.Compare(at(a).UnixNano(), at(b).UnixNano()) })

	var lines []string
	for _, event := range events {
		lines = append(lines, fmt.Sprintf("%+6.1f s  %-8s %s: %s", at(event).Sub(since).Seconds(), event.Type, event.Reason, event.Message))
	}

	return lines
}
