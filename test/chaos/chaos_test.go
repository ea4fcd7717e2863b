package main

import (
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caretaker-dev/caretaker/test/chaos/fault"
	"github.com/caretaker-dev/caretaker/test/chaos/scenario"
)

// TestShort runs the short set on the cluster that KUBECONFIG names, where the operator is installed.
func TestShort(t *testing.T) {
	if os.Getenv("CARETAKER_CHAOS") != "1" {
		t.Skip("fault tests need a cluster with the operator; set CARETAKER_CHAOS=1 and KUBECONFIG (see test/README.md)")
	}

	// Continuous integration has two cores for everything, and other work on them.
	o := options{
		artifacts:  "../../build/artifacts/chaos/" + time.Now().UTC().Format("20060102-150405"),
		devcluster: "../../.devcluster", image: "caretaker.local/postgresql:%s", storageClass: "standard", slack: 3,
	}
	// The short set is of one major; the variables are those of the end-to-end tests.
	if image, ok := os.LookupEnv("CARETAKER_POSTGRES_IMAGE_17"); ok {
		o.image = image
	}

	if class, ok := os.LookupEnv("CARETAKER_STORAGE_CLASS"); ok {
		o.storageClass = class
	}

	if slack, err := strconv.ParseFloat(os.Getenv("CARETAKER_CHAOS_SLACK"), 64); err == nil {
		o.slack = slack
	}

	w, err := o.connect()
	if err != nil {
		t.Fatal(err)
	}

	for _, c := range choose("short", "") {
		t.Run(c.Name(), func(t *testing.T) {
			if w.nodes == nil && fault.Kinds()[c.Fault].Node {
				t.Skip("this needs the development cluster's nodes")
			}

			result, err := w.runCase(t.Context(), c)
			if err != nil || !result.Passed() {
				t.Errorf("see %s", o.artifacts)
			}
		})
	}

	if err := w.remove(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestCases(t *testing.T) {
	t.Parallel()

	seen := map[string]bool{}

	for _, c := range scenario.Cases() {
		name := c.Name()
		if c.Hold > time.Minute {
			name += "/long"
		}

		if seen[name] {
			t.Errorf("%s is there twice", name)
		}

		seen[name] = true

		if _, ok := fault.Kinds()[c.Fault]; !ok && c.NotYet == "" {
			t.Errorf("%s: there is no such fault", name)
		}

		if c.NotYet == "" && (c.Max == 0 || c.Hold == 0) {
			t.Errorf("%s: it does not say how long", name)
		}

		if c.Short && (c.Long || c.NotYet != "") {
			t.Errorf("%s cannot be in the short set", name)
		}
	}
}

func TestMenu(t *testing.T) {
	t.Parallel()

	for i, want := range menu() {
		got, err := ask(strconv.Itoa(i + 1))
		if err != nil || got != want {
			t.Errorf("number %d is %v (%v), want %v", i+1, got, err, want)
		}

		if _, ok := fault.Kinds()[want.fault]; !ok {
			t.Errorf("there is no fault %q", want.fault)
		}
	}

	if _, err := ask("everything"); err == nil {
		t.Error("a fault that is not there was found")
	}
}

func TestSummary(t *testing.T) {
	t.Parallel()

	gaps := []time.Duration{5, 1, 4, 2, 3}
	if diff := cmp.Diff(gapSummary{Runs: 5, P50: 3, Worst: 5}, summary(gaps)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	if !slices.Equal(gaps, []time.Duration{5, 1, 4, 2, 3}) {
		t.Error("what was measured was sorted in place")
	}
}
