package harunner_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/ha"
	"github.com/caretaker-dev/caretaker/internal/instance/harunner"
)

func TestRecordSurvivesTheAPI(t *testing.T) {
	rule := ha.Rule{
		Term: 7, Timeline: 9, Acks: 1, Voters: []ha.MemberID{"a", "b"},
		Primary: ha.Holder{Member: "c", Name: "demo-2", PodUID: "uid", Run: 1<<48 - 1},
	}

	for name, want := range map[string]*ha.Record{
		"quiet":        {Rule: rule, SystemID: "7710350926972936219"},
		"asynchronous": {Rule: ha.Rule{Term: 1, Timeline: 1, Primary: rule.Primary}},
		"just asked for": {Seq: 17, Rule: rule, Pending: &ha.Pending{
			Term: 8, Timeline: 10,
		}},
		"switchover": {Rule: rule, Pending: &ha.Pending{
			Term: 8, Timeline: 10, Candidate: ha.Instance{ID: "a", Name: "demo-0"}, Forced: true, OldStopped: true,
			MinLSN: 0x16_B374D848, Request: "demo-0/1", Target: "a",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := harunner.ToRecord(harunner.FromRecord(want, "demo-0"))
			if err != nil {
				t.Fatal(err)
			}

			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRecordWithAWrongPosition(t *testing.T) {
	_, err := harunner.ToRecord(postgresqlv1.ClusterTermSpec{Pending: &postgresqlv1.PendingTerm{MinLSN: "here"}})
	if err == nil {
		t.Error("a record with a position that is none was taken")
	}
}

func TestMessagesSurviveTheWay(t *testing.T) {
	tip := ha.Tip{Timeline: 3, LSN: 1 << 40, History: []ha.Switch{{Timeline: 1, End: 77}}}

	for _, want := range []ha.Message{
		ha.Heartbeat{Term: 1, Run: 2, Sent: 3 * time.Second, Tip: tip, Established: true},
		ha.HeartbeatReply{Term: 1, Run: 2, Sent: 3 * time.Second, Promise: true, Pledged: 4},
		ha.Ask{Term: 5},
		ha.AskReply{Term: 5, Hears: true},
		ha.PledgeReport{Term: 6, Tip: tip, SystemID: "7", Stopped: true},
		ha.Release{Term: 8, Run: 9, Sent: time.Millisecond},
		ha.Wrote{Seq: 10},
	} {
		content, err := harunner.Encode(ha.Instance{ID: "a", Name: "demo-0"}, "demo-1", "10.0.0.1:8000", want)
		if err != nil {
			t.Fatal(err)
		}

		envelope, got, err := harunner.Decode(content)
		if err != nil {
			t.Fatal(err)
		}

		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%T: %s", want, diff)
		}

		if envelope.From.Name != "demo-0" || envelope.To != "demo-1" || envelope.Address != "10.0.0.1:8000" {
			t.Errorf("%T: the envelope is %+v", want, envelope)
		}
	}

	for _, wrong := range []string{"", "{", `{"kind":"Gossip","body":{}}`, `{"kind":"Ask","body":"now"}`} {
		if _, _, err := harunner.Decode([]byte(wrong)); err == nil {
			t.Errorf("%q was taken for a message", wrong)
		}
	}
}

func TestDiskSurvivesAStart(t *testing.T) {
	dir := t.TempDir()

	if _, found, err := harunner.LoadDisk(dir); found || err != nil {
		t.Fatalf("on a new volume: %v, %v", found, err)
	}

	want := ha.Disk{Member: "a", Pledged: 4, Led: 3, Established: 3, Opened: 3, Resigned: 2, Sync: ha.Sync{Voters: []ha.MemberID{"b"}, Acks: 1}}
	if err := harunner.SaveDisk(dir, want); err != nil {
		t.Fatal(err)
	}

	got, found, err := harunner.LoadDisk(dir)
	if err != nil || !found {
		t.Fatalf("found %v, %v", found, err)
	}

	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestSyncNames(t *testing.T) {
	for want, sync := range map[string]ha.Sync{
		"":                    {},
		`ANY 1 ("a", "b")`:    {Voters: []ha.MemberID{"a", "b"}, Acks: 1},
		`ANY 2 ("a", "b""c")`: {Voters: []ha.MemberID{"a", `b"c`}, Acks: 2},
	} {
		if got := harunner.SyncNames(sync); got != want {
			t.Errorf("%+v: %s, want %s", sync, got, want)
		}
	}

	if got := harunner.SyncNames(ha.Sync{Voters: []ha.MemberID{"a"}}); got != "" {
		t.Errorf("asynchronous: %s, want nothing to be waited for", got)
	}
}
