package instance_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/instance"
	"github.com/caretaker-dev/caretaker/internal/instance/volume"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
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
		Clone: instance.CloneFacts{MayReclone: true},
	}
	for _, change := range changes {
		change(&f)
	}

	return f
}

func leads(f *instance.Facts) {
	f.Record.Spec.Primary = &postgresqlv1.TermHolder{MemberID: me, Name: "demo-1", PodUID: "uid"}
	f.Data.Standby, f.Data.IsStandby = false, false
}

func noData(f *instance.Facts) { f.Data = instance.DataFacts{} }

func tookPart(f *instance.Facts) { f.Data.TookPart = true }

func firstTerm(f *instance.Facts) {
	f.Record.Spec = postgresqlv1.ClusterTermSpec{Bootstrap: "demo-1"}
}

func unknown(f *instance.Facts) {
	f.Record = instance.RecordFacts{Error: errors.New("connection refused")}
}

func up(role instanceapi.Role) func(*instance.Facts) {
	return func(f *instance.Facts) { f.Server.Up, f.Server.Role = true, role }
}

func later(f *instance.Facts) time.Time { return f.Now.Add(time.Second) }

func TestDecide(t *testing.T) {
	const replica, primary = instanceapi.RoleReplica, instanceapi.RolePrimary

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

		"a replica runs":               {facts: facts(up(replica)), want: instance.DoKeep},
		"a primary runs":               {facts: facts(leads, up(primary)), want: instance.DoKeep},
		"a primary runs, API is away":  {facts: facts(leads, up(primary), unknown), want: instance.DoKeep},
		"a primary runs, another took": {facts: facts(up(primary)), want: instance.DoStop},
		"a replica runs, and leads":    {facts: facts(leads, up(replica)), want: instance.DoStop},
		"a restart was asked for": {
			facts: facts(up(replica), func(f *instance.Facts) { f.RestartAsked = true }), want: instance.DoRestart,
		},
		"a replica runs that is lost": {
			facts: facts(up(replica), func(f *instance.Facts) { f.Clone.Lost = "gone" }), want: instance.DoStop,
		},
		"a replica runs that is lost, the budget is spent": {
			facts: facts(up(replica), func(f *instance.Facts) { f.Clone.Lost, f.Clone.MayReclone = "gone", false }),
			want:  instance.DoKeep,
		},

		"took part in the protocol, leads": {
			facts: facts(leads, tookPart), want: instance.DoFail, reason: "OutsideProtocol", message: "failover",
		},
		"took part in the protocol, follows": {
			facts: facts(tookPart), want: instance.DoFail, reason: "OutsideProtocol",
		},
		"took part in the protocol, empty": {
			facts: facts(noData, tookPart), want: instance.DoFail, reason: "OutsideProtocol",
		},
		"took part in the protocol, runs":               {facts: facts(leads, tookPart, up(primary)), want: instance.DoKeep},
		"took part in the protocol, a record made anew": {facts: facts(firstTerm, tookPart), want: instance.DoAdopt},

		"it ended a moment ago": {
			facts: facts(leads, func(f *instance.Facts) { f.Server.RetryAt, f.Server.Ends = later(f), 1 }),
			want:  instance.DoWait, reason: "PostgreSQLEnded",
		},
		"it ended three times": {
			facts: facts(leads, func(f *instance.Facts) {
				f.Server.RetryAt, f.Server.Ends, f.Server.LastWords = later(f), 3, "bad library"
			}),
			want: instance.DoFail, reason: "PostgreSQLFails", message: "bad library",
		},

		"the API is away at the start": {
			facts: facts(leads, unknown), want: instance.DoWait, reason: "APIUnreachable", message: "connection refused",
		},
		"the record is missing": {
			facts: facts(leads, func(f *instance.Facts) { f.Record = instance.RecordFacts{Missing: true, Error: errors.New("x")} }),
			want:  instance.DoWait, reason: "RecordMissing",
		},

		"term 0, empty":  {facts: facts(firstTerm, noData), want: instance.DoBootstrap},
		"term 0, data":   {facts: facts(firstTerm), want: instance.DoAdopt},
		"term 0, failed": {facts: facts(firstTerm, noData, failedClone), want: instance.DoFail, reason: "BootstrapFailed", message: "syntax error"},
		"term 0, another bootstraps": {
			facts: facts(firstTerm, func(f *instance.Facts) { f.Record.Spec.Bootstrap = "demo-0" }),
			want:  instance.DoWait, reason: "WaitingForPrimary", message: "demo-0",
		},

		"leads":                 {facts: facts(leads), want: instance.DoStartPrimary},
		"leads, in a new pod":   {facts: facts(leads, func(f *instance.Facts) { f.PodUID = "new" }), want: instance.DoClaim},
		"leads, standby's data": {facts: facts(leads, func(f *instance.Facts) { f.Data.IsStandby = true }), want: instance.DoPromote},
		"leads, no data":        {facts: facts(leads, noData), want: instance.DoFail, reason: "DataLost"},
		"leads, other system": {
			facts: facts(leads, func(f *instance.Facts) { f.Data.SystemID = "8" }), want: instance.DoFail, reason: "SystemIDMismatch",
		},

		"follows":          {facts: facts(), want: instance.DoStartStandby},
		"follows, no data": {facts: facts(noData), want: instance.DoClone},
		"follows, clone failed": {
			facts: facts(noData, failedClone), want: instance.DoWait, reason: "CloneFailed", message: "syntax error",
		},
		"follows, not established": {
			facts: facts(noData, func(f *instance.Facts) { f.Record.Spec.Established = false }),
			want:  instance.DoWait, reason: "WaitingForPrimary",
		},
		"follows, other system": {
			facts: facts(func(f *instance.Facts) { f.Data.SystemID = "8" }),
			want:  instance.DoFail, reason: "SystemIDMismatch", message: "8",
		},
		"follows, lost": {
			facts: facts(func(f *instance.Facts) { f.Clone.Lost = "gone" }), want: instance.DoReclone,
		},
		"an old primary follows": {
			facts: facts(func(f *instance.Facts) { f.Data.Standby, f.Data.IsStandby = false, false }), want: instance.DoStartStandby,
		},
		"the primary's volume was replaced": {
			facts: facts(noData, func(f *instance.Facts) { f.Record.Spec.Primary.Name = "demo-1" }),
			want:  instance.DoFail, reason: "PrimaryVolumeLost", message: other,
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

func failedClone(f *instance.Facts) {
	f.Clone.Error, f.Clone.Reason, f.Clone.RetryAt = errors.New("syntax error"), "CloneFailed", later(f)
}

// TestNothingStartsReadWriteUnproven goes through all combinations of what could mislead a primary.
func TestNothingStartsReadWriteUnproven(t *testing.T) {
	changes := map[string]func(*instance.Facts){
		"unknown": unknown,
		"missing": func(f *instance.Facts) { f.Record = instance.RecordFacts{Missing: true, Error: errors.New("x")} },
		"other":   func(f *instance.Facts) { f.Record.Spec.Primary.MemberID = other },
		"pod":     func(f *instance.Facts) { f.PodUID = "new" },
		"system":  func(f *instance.Facts) { f.Data.SystemID = "8" },
		"lock":    func(f *instance.Facts) { f.LockError = errors.New("held") },
		"major":   func(f *instance.Facts) { f.ImageMajor = 18 },
		"member":  func(f *instance.Facts) { f.Member = "" },
		"part":    tookPart,
		"nobody":  func(f *instance.Facts) { f.Record.Spec.Primary = nil },
	}
	names := make([]string, 0, len(changes))

	for name := range changes {
		names = append(names, name)
	}

	for subset := 1; subset < 1<<len(names); subset++ {
		f := facts(leads)

		var applied []string

		for i, name := range names {
			// Changes to a primary that is gone already say nothing.
			if subset&(1<<i) != 0 && (name != "other" || f.Record.Spec.Primary != nil) {
				changes[name](&f)
				applied = append(applied, name)
			}
		}

		if step := instance.Decide(f); step.Do == instance.DoStartPrimary || step.Do == instance.DoPromote {
			t.Errorf("%v: %s", applied, step.Do)
		}
	}

	if step := instance.Decide(facts(leads)); step.Do != instance.DoStartPrimary {
		t.Errorf("undisturbed: %+v; the test cannot fail", step)
	}
}
