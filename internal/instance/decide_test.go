package instance_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/instance"
	"github.com/caretaker-dev/caretaker/internal/instance/volume"
)

const (
	me    = "m-me"
	other = "m-other"
)

// facts of demo-1 with data of a standby, in a Cluster that demo-0 leads; changes make the case.
func facts(changes ...func(*instance.Facts)) instance.Facts {
	f := instance.Facts{
		Now: time.Unix(1000, 0), Instance: "demo-1", PodUID: "uid", Member: me, WantMajor: 17, ImageMajor: 17,
		Data: instance.DataFacts{Data: volume.Data{Present: true, Major: 17, Standby: true}, SystemID: "7", IsStandby: true},
		Record: instance.RecordFacts{Known: true, Spec: postgresqlv1.ClusterTermSpec{
			Term: 3, Timeline: 2, Established: true, SystemID: "7", Bootstrap: "demo-0",
			Primary: &postgresqlv1.TermHolder{MemberID: other, Name: "demo-0", PodUID: "uid-0"},
		}},
	}
	for _, change := range changes {
		change(&f)
	}

	return f
}

func noData(f *instance.Facts) { f.Data = instance.DataFacts{} }

func tookPart(f *instance.Facts) { f.Data.TookPart = true }

func firstTerm(f *instance.Facts) {
	f.Record.Spec = postgresqlv1.ClusterTermSpec{Bootstrap: "demo-1"}
}

func unknown(f *instance.Facts) {
	f.Record = instance.RecordFacts{Error: errors.New("connection refused")}
}

func later(f *instance.Facts) time.Time { return f.Now.Add(time.Second) }

func TestDecide(t *testing.T) {
	for name, c := range map[string]struct {
		facts   instance.Facts
		want    instance.Do
		reason  string
		message string
	}{
		"the lock is another's": {
			facts: facts(func(f *instance.Facts) { f.LockError = &volume.LockedError{Path: "/x/lock"} }),
			want:  instance.DoWait, reason: "VolumeLocked", message: "/x/lock",
		},
		"no configuration": {
			facts: facts(func(f *instance.Facts) { f.ConfigError = errors.New("no such file") }),
			want:  instance.DoWait, reason: "NoConfiguration",
		},
		"no programs": {
			facts: facts(func(f *instance.Facts) { f.ToolsError = errors.New("looked in /x") }),
			want:  instance.DoFail, reason: "NoPostgreSQL", message: "looked in /x",
		},
		"image of another major": {
			facts: facts(func(f *instance.Facts) { f.ImageMajor = 18 }),
			want:  instance.DoFail, reason: "ImageMajorMismatch", message: "use an image of major version 17",
		},
		"data of another major": {
			facts: facts(func(f *instance.Facts) { f.WantMajor, f.Data.Major = 0, 16 }),
			want:  instance.DoFail, reason: "ImageMajorMismatch", message: "use an image of major version 16",
		},
		"data that are none": {
			facts: facts(func(f *instance.Facts) { f.Data.Error = errors.New("no PG_VERSION") }),
			want:  instance.DoFail, reason: "UnusableData",
		},
		"a step failed a moment ago": {
			facts: facts(func(f *instance.Facts) { f.RetryAt, f.Failed = later(f), "Adopt: no" }),
			want:  instance.DoWait, reason: "StepFailed", message: "Adopt: no",
		},

		"there is a term":                       {facts: facts(), want: instance.DoTakePart},
		"there is a term, and no data":          {facts: facts(noData), want: instance.DoTakePart},
		"there is a term, and it took part":     {facts: facts(tookPart), want: instance.DoTakePart},
		"there is a term, and data are in bits": {facts: facts(dirty), want: instance.DoTakePart},

		"the API is away": {
			facts: facts(unknown), want: instance.DoWait, reason: "APIUnreachable", message: "connection refused",
		},
		"the API is away, and it took part": {facts: facts(unknown, tookPart), want: instance.DoTakePart},
		"the API was not asked yet": {
			facts: facts(tookPart, func(f *instance.Facts) { f.Record = instance.RecordFacts{} }),
			want:  instance.DoWait, reason: "ReadingRecord",
		},
		"the record is missing":                   {facts: facts(missing), want: instance.DoWait, reason: "RecordMissing"},
		"the record is missing, and it took part": {facts: facts(missing, tookPart), want: instance.DoTakePart},
		"the record names nobody":                 {facts: facts(firstTerm, named("")), want: instance.DoWait, reason: "RecordMissing"},
		"the record names nobody, and it took part": {
			facts: facts(firstTerm, named(""), tookPart), want: instance.DoTakePart,
		},

		"term 0, empty":                  {facts: facts(firstTerm, noData), want: instance.DoBootstrap},
		"term 0, data":                   {facts: facts(firstTerm), want: instance.DoAdopt},
		"term 0, data, and it took part": {facts: facts(firstTerm, tookPart), want: instance.DoAdopt},
		"term 0, data in bits":           {facts: facts(firstTerm, dirty), want: instance.DoFail, reason: "UnusableData"},
		"term 0, failed": {
			facts: facts(firstTerm, noData, func(f *instance.Facts) { f.Bootstrap, f.RetryAt = errors.New("syntax error"), later(f) }),
			want:  instance.DoFail, reason: "BootstrapFailed", message: "syntax error",
		},
		"term 0, another bootstraps": {
			facts: facts(firstTerm, named("demo-0")), want: instance.DoWait, reason: "WaitingForPrimary", message: "demo-0",
		},
	} {
		t.Run(name, func(t *testing.T) {
			step := instance.Decide(c.facts)

			if step.Do != c.want || step.Reason != c.reason || !strings.Contains(step.Message, c.message) {
				t.Errorf("got %+v, want %s %s with %q", step, c.want, c.reason, c.message)
			}
		})
	}
}

func dirty(f *instance.Facts) { f.Data = instance.DataFacts{Dirty: true, TookPart: true} }

func missing(f *instance.Facts) {
	f.Record = instance.RecordFacts{Missing: true, Error: errors.New("not found")}
}

func named(bootstrap string) func(*instance.Facts) {
	return func(f *instance.Facts) { f.Record.Spec.Bootstrap = bootstrap }
}

// TestNobodyBeginsUnnamed goes through all combinations of what could mislead an instance into beginning a Cluster.
func TestNobodyBeginsUnnamed(t *testing.T) {
	changes := map[string]func(*instance.Facts){
		"unknown": unknown,
		"missing": missing,
		"other":   named("demo-0"),
		"nobody":  named(""),
		"term":    func(f *instance.Facts) { f.Record.Spec.Term = 1 },
		"lock":    func(f *instance.Facts) { f.LockError = errors.New("held") },
		"major":   func(f *instance.Facts) { f.ImageMajor = 18 },
	}
	names := slices.Sorted(maps.Keys(changes))

	for _, empty := range []bool{true, false} {
		begin := []func(*instance.Facts){firstTerm}
		if empty {
			begin = append(begin, noData)
		}

		for subset := 1; subset < 1<<len(names); subset++ {
			f := facts(begin...)

			var applied []string

			for i, name := range names {
				if subset&(1<<i) != 0 {
					changes[name](&f)
					applied = append(applied, name)
				}
			}

			if step := instance.Decide(f); step.Do == instance.DoBootstrap || step.Do == instance.DoAdopt {
				t.Errorf("%v: %s", applied, step.Do)
			}
		}

		if step := instance.Decide(facts(begin...)); step.Do != instance.DoBootstrap && step.Do != instance.DoAdopt {
			t.Errorf("undisturbed: %+v; the test cannot fail", step)
		}
	}
}
