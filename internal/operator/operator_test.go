package operator

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	clocktesting "k8s.io/utils/clock/testing"
)

func parse(t *testing.T, arguments ...string) Options {
	t.Helper()

	var o Options

	flags := pflag.NewFlagSet("operator", pflag.ContinueOnError)
	o.AddFlags(flags)

	if err := flags.Parse(arguments); err != nil {
		t.Fatal(err)
	}

	return o
}

func TestOptions(t *testing.T) {
	const image = "--operator-image=example.org/caretaker:v1"

	tests := map[string]struct {
		arguments []string
		message   string
	}{
		"defaults":       {[]string{image}, ""},
		"timings fit":    {[]string{image, "--leader-elect", "--leader-election-lease-duration=5s", "--leader-election-renew-deadline=4s", "--leader-election-retry-period=1s"}, ""},
		"no image":       {nil, "--operator-image is required"},
		"no default":     {[]string{image, "--default-postgres-image="}, "--default-postgres-image"},
		"pull policy":    {[]string{image, "--operator-image-pull-policy=Sometimes"}, `"Sometimes"; use one of [Always IfNotPresent Never]`},
		"lease too low":  {[]string{image, "--leader-elect", "--leader-election-lease-duration=6s"}, "must be above renew deadline"},
		"no concurrency": {[]string{image, "--max-concurrent-reconciles=0"}, "--max-concurrent-reconciles is 0"},
		"no requests":    {[]string{image, "--kube-api-qps=0"}, "--kube-api-qps is 0"},
		"no limit":       {[]string{image, "--kube-api-qps=-1"}, ""},
	}

	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			o := parse(t, test.arguments...)
			err := o.Validate()

			switch {
			case test.message == "" && err != nil:
				t.Errorf("refused: %v", err)
			case test.message != "" && (err == nil || !strings.Contains(err.Error(), test.message)):
				t.Errorf("error is %v, want one with %q", err, test.message)
			}
		})
	}
}

func TestLogLevels(t *testing.T) {
	for level, want := range map[string]string{
		"debug": "debug info error", "info": "info error", "warn": "error", "error": "error",
	} {
		out := &bytes.Buffer{}

		logger, err := NewLogger(out, level, "json")
		if err != nil {
			t.Fatal(err)
		}

		logger.V(1).Info("detail")
		logger.Info("word", "cluster.name", "pg")
		logger.Error(errors.New("boom"), "failure")

		var got []string

		for line := range strings.Lines(out.String()) {
			var entry struct{ Time, Level, Msg string }
			if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Time == "" || entry.Msg == "" {
				t.Fatalf("%v in %s", err, line)
			}

			got = append(got, entry.Level)
		}

		if strings.Join(got, " ") != want {
			t.Errorf("at %s: %v, want %s", level, got, want)
		}
	}

	for _, arguments := range [][2]string{{"verbose", "json"}, {"info", "xml"}} {
		if _, err := NewLogger(&bytes.Buffer{}, arguments[0], arguments[1]); err == nil || !strings.Contains(err.Error(), "use ") {
			t.Errorf("%v: error is %v", arguments, err)
		}
	}
}

func TestMemoryLimit(t *testing.T) {
	for content, want := range map[string]int64{
		"268435456\n":           241591860,
		"max\n":                 0,
		"9223372036854771712\n": 0, // version 1 without a limit
		"0":                     0,
		"":                      0,
	} {
		if got := memoryLimit(content); got != want {
			t.Errorf("memoryLimit(%q) is %d, want %d", content, got, want)
		}
	}
}

func TestReadinessAsksSeldom(t *testing.T) {
	clk := clocktesting.NewFakeClock(time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC))
	asked, answer := 0, error(nil)
	r := &readiness{clock: clk, served: func(context.Context) error {
		asked++

		return answer
	}}

	if err := r.check(t.Context()); err == nil {
		t.Error("ready without a manager")
	}

	synced := false
	r.startSyncing(func(context.Context) bool { return synced })

	if err := r.check(t.Context()); err == nil || !strings.Contains(err.Error(), "caches") {
		t.Errorf("error is %v, want one about caches", err)
	}

	synced = true

	clk.Step(probeCache)

	for range 100 {
		if err := r.check(t.Context()); err != nil {
			t.Fatal(err)
		}
	}

	if asked != 3 {
		t.Errorf("asked the API server %d times, want 3", asked)
	}

	answer = errors.New("gone")

	clk.Step(probeCache)

	if err := r.check(t.Context()); !errors.Is(err, answer) {
		t.Errorf("error is %v, want %v", err, answer)
	}
}
