package cluster

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/apply"
	"github.com/caretaker-dev/caretaker/internal/cluster/decide"
	"github.com/caretaker-dev/caretaker/internal/conditions"
	"github.com/caretaker-dev/caretaker/internal/instanceclient"
)

func TestAFailureIsTold(t *testing.T) {
	t.Parallel()

	plan := decide.Plan{Outcome: conditions.Outcome{Kind: conditions.Done, Reason: v1.ReasonReady, Message: "3 of 3 instances ready"}}

	for _, tc := range []struct {
		name    string
		failure error
		ready   string
		reason  string
		stalled bool
	}{
		{"none", nil, "3 of 3 instances ready", v1.ReasonReady, false},
		{"a retryable one", fmt.Errorf("create Pod a: %w", errors.New("exceeded quota")), "Waiting: trying again to create Pod a: exceeded quota", v1.ReasonError, false},
		{"a permanent one", fmt.Errorf("create Pod a: %w", apierrors.NewBadRequest("bad")), "Stalled: cannot create Pod a: bad", v1.ReasonError, true},
		{
			"a name that is taken", fmt.Errorf("create: %w", &apply.ConflictError{Kind: "Service", Namespace: "apps", Name: "db-rw", For: "this Cluster"}),
			"Stalled: Service apps/db-rw exists and was not made for this Cluster; it is left alone",
			v1.ReasonObjectConflict, true,
		},
		{
			"a configuration that is refused", &instanceclient.RefusedError{Instance: "db-0", StatusCode: 422, Message: "no"},
			"Stalled: instance db-0 refused (422): no", v1.ReasonInvalidParameters, true,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()

			status := statusOf(decide.View{Cluster: &v1.Cluster{}, Now: time.Unix(1, 0)}, plan, tc.failure)

			ready := meta.FindStatusCondition(status.Conditions, v1.ConditionReady)
			if ready.Message != tc.ready || ready.Reason != tc.reason {
				t.Errorf("Ready says %s: %q, want %s: %q", ready.Reason, ready.Message, tc.reason, tc.ready)
			}

			if got := meta.IsStatusConditionTrue(status.Conditions, v1.ConditionStalled); got != tc.stalled {
				t.Errorf("stalled: %v, want %v", got, tc.stalled)
			}
		})
	}
}

func TestEventsTellWhatHappened(t *testing.T) {
	t.Parallel()

	member := func(name string, ready bool) v1.MemberStatus {
		return v1.MemberStatus{Name: name, Ready: ready, State: "Starting"}
	}
	condition := func(kind, message string) metav1.Condition {
		return metav1.Condition{Type: kind, Status: metav1.ConditionTrue, Reason: "Because", Message: message}
	}

	for _, tc := range []struct {
		name          string
		before, after v1.ClusterStatus
		done          []decide.Action
		want          []string
	}{
		{"nothing", v1.ClusterStatus{Term: 1, Primary: "a"}, v1.ClusterStatus{Term: 1, Primary: "a"}, nil, nil},
		{
			"initialized",
			v1.ClusterStatus{},
			v1.ClusterStatus{Term: 1, Primary: "db-0", Members: []v1.MemberStatus{member("db-0", true)}},
			nil,
			[]string{"Normal Initialized db-0 leads, term 1", "Normal InstanceReady db-0 is ready"},
		},
		{
			"lost",
			v1.ClusterStatus{Members: []v1.MemberStatus{member("db-0", true)}},
			v1.ClusterStatus{Members: []v1.MemberStatus{member("db-0", false)}},
			nil,
			[]string{"Warning InstanceNotReady db-0 is no longer ready: Starting"},
		},
		{
			"stalled once",
			v1.ClusterStatus{},
			v1.ClusterStatus{Conditions: []metav1.Condition{condition("Stalled", "spec.x: y")}},
			nil,
			[]string{"Warning Because spec.x: y"},
		},
		{
			"still stalled",
			v1.ClusterStatus{Conditions: []metav1.Condition{condition("Stalled", "spec.x: y")}},
			v1.ClusterStatus{Conditions: []metav1.Condition{condition("Stalled", "spec.x: y")}},
			nil, nil,
		},
		{
			"archiving fails",
			v1.ClusterStatus{Conditions: []metav1.Condition{condition("ContinuousArchiving", "WAL is archived to s3://bucket, folder db")}},
			v1.ClusterStatus{Conditions: []metav1.Condition{{
				Type: "ContinuousArchiving", Status: metav1.ConditionFalse, Reason: v1.ReasonArchivingFailed, Message: "WAL has not reached the archive",
			}}},
			nil,
			[]string{"Warning ArchivingFailed WAL has not reached the archive"},
		},
		{
			"the backup is too old",
			v1.ClusterStatus{Conditions: []metav1.Condition{condition("BackedUp", "the newest Backup, monday, is of 2026-03-02T02:40:00Z")}},
			v1.ClusterStatus{Conditions: []metav1.Condition{{
				Type: "BackedUp", Status: metav1.ConditionFalse, Reason: v1.ReasonBackupTooOld, Message: "the newest Backup, monday, is of 2026-03-02T02:40:00Z",
			}}},
			nil,
			[]string{"Warning BackupTooOld The newest Backup, monday, is of 2026-03-02T02:40:00Z"},
		},
		{
			"failed over, told whole",
			v1.ClusterStatus{FailoverHistory: []v1.FailoverStatus{{Term: 2, From: "db-0", To: "db-1"}}},
			v1.ClusterStatus{FailoverHistory: []v1.FailoverStatus{{
				Term: 2, From: "db-0", To: "db-1", Reason: "the primary is silent", TimelineID: 2, ForkLSN: "0/3000000", GapMilliseconds: new(int64(4200)),
			}}},
			nil,
			[]string{"Warning FailedOver db-1 took over from db-0 in term 2: the primary is silent; timeline 2 from 0/3000000; 4.2 s without a primary"},
		},
		{
			"leads again",
			v1.ClusterStatus{},
			v1.ClusterStatus{FailoverHistory: []v1.FailoverStatus{{Term: 2, From: "db-0", To: "db-0", Reason: "it stopped for good"}}},
			nil,
			[]string{"Warning FailedOver db-0 leads again, in term 2: it stopped for good"},
		},
		{
			"failed over, not told yet",
			v1.ClusterStatus{},
			v1.ClusterStatus{FailoverHistory: []v1.FailoverStatus{{Term: 2, From: "db-0", To: "db-1"}}},
			nil, nil,
		},
		{
			"switched over",
			v1.ClusterStatus{LastSwitchover: &v1.SwitchoverStatus{Request: "db-1/1", From: "db-0", Result: v1.SwitchoverInProgress}},
			v1.ClusterStatus{LastSwitchover: &v1.SwitchoverStatus{Request: "db-1/1", From: "db-0", To: "db-1", Result: v1.SwitchoverCompleted}},
			nil,
			[]string{"Normal SwitchoverCompleted db-1 leads after db-0, as asked for by db-1/1"},
		},
		{
			"switchover refused",
			v1.ClusterStatus{},
			v1.ClusterStatus{LastSwitchover: &v1.SwitchoverStatus{Request: "db-9/1", Result: v1.SwitchoverRefused, Message: "db-9 is no instance of this Cluster"}},
			nil,
			[]string{"Warning SwitchoverRefused The switchover db-9/1: db-9 is no instance of this Cluster"},
		},
		{
			"PostgreSQL was killed",
			v1.ClusterStatus{Members: []v1.MemberStatus{{Name: "db-0", Ready: true, LastCrash: &v1.CrashStatus{At: metav1.Unix(1000, 0)}}}},
			v1.ClusterStatus{Members: []v1.MemberStatus{{
				Name: "db-0", Ready: true, LastCrash: &v1.CrashStatus{At: metav1.Unix(2000, 0), Reason: "killed by SIGKILL"},
			}}},
			nil,
			[]string{"Warning PostgresCrashed PostgreSQL of db-0 ended by itself (killed by SIGKILL) and is started again"},
		},
		{
			"PostgreSQL was killed, and that was told already",
			v1.ClusterStatus{Members: []v1.MemberStatus{{Name: "db-0", Ready: true, LastCrash: &v1.CrashStatus{At: metav1.Unix(1000, 0)}}}},
			v1.ClusterStatus{Members: []v1.MemberStatus{{Name: "db-0", Ready: true, LastCrash: &v1.CrashStatus{At: metav1.Unix(1000, 0)}}}},
			nil,
			nil,
		},
		{
			"fenced and rewound",
			v1.ClusterStatus{Members: []v1.MemberStatus{member("db-0", true)}},
			v1.ClusterStatus{Members: []v1.MemberStatus{{
				Name: "db-0", Ready: true,
				LastFence:  &v1.FenceStatus{Reason: "no authority"},
				LastRejoin: &v1.RejoinStatus{Method: v1.RejoinRewound, Term: 2, BytesDiscarded: 512, DivergentWAL: "/kept"},
			}}},
			nil,
			[]string{
				"Warning Fenced db-0 cut its clients off and killed PostgreSQL: no authority",
				"Warning Rewound db-0 went back to where term 2 began; 512 bytes of its own log were discarded, and are kept in /kept on its volume",
			},
		},
		{
			"copied anew",
			v1.ClusterStatus{Members: []v1.MemberStatus{member("db-0", true)}},
			v1.ClusterStatus{Members: []v1.MemberStatus{{
				Name: "db-0", Ready: true, LastRejoin: &v1.RejoinStatus{Method: v1.RejoinCloned, Term: 2, Reason: "the WAL is gone"},
			}}},
			nil,
			[]string{"Warning Recloned db-0 was copied anew: the WAL is gone; no log of its own was discarded"},
		},
		{
			"first seen",
			v1.ClusterStatus{},
			v1.ClusterStatus{Members: []v1.MemberStatus{{Name: "db-0", LastRejoin: &v1.RejoinStatus{Method: v1.RejoinCloned}}}},
			nil, nil,
		},
		{
			"actions",
			v1.ClusterStatus{},
			v1.ClusterStatus{},
			[]decide.Action{
				decide.DeletePod{Name: "db-2", Why: "scaling down"},
				decide.DeleteVolume{Name: "db-2"},
				decide.Apply{New: true, Object: &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "db-3"}}},
				decide.Apply{New: true, Object: &corev1.ConfigMap{}},
			},
			[]string{"Normal InstanceStopped Stop db-2: scaling down", "Normal VolumeDeleted Delete the volume of db-2", "Normal InstanceCreated Create pod db-3"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()

			var got []string
			for _, e := range eventsOf(tc.before, tc.after, tc.done) {
				got = append(got, e.kind+" "+e.reason+" "+e.note)
			}

			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSilenceIsCountedFromTheFirstMissedCall(t *testing.T) {
	t.Parallel()

	s, start := newSilence(), time.Unix(1000, 0)

	for _, after := range []time.Duration{0, 30 * time.Second} {
		if got := s.missed("a", start.Add(after)); got != start {
			t.Errorf("after %s: silent since %s, want %s", after, got, start)
		}
	}

	s.answered("a")

	if again := start.Add(time.Minute); s.missed("a", again) != again {
		t.Error("an answer did not end the silence")
	}
}
