package database

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/conditions"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/postgresql/shortform"
)

func newView(change ...func(*View)) View {
	v := View{
		Now: time.Unix(1000, 0),
		Object: &v1.Database{
			ObjectMeta: metav1.ObjectMeta{Name: "orders", Namespace: "shop", UID: "1", Generation: 1, CreationTimestamp: metav1.Unix(100, 0)},
			Spec:       v1.DatabaseSpec{Cluster: &v1.LocalObjectReference{Name: "db"}, ReclaimPolicy: v1.DatabaseReclaimRetain},
		},
		Cluster: &v1.Cluster{
			ObjectMeta: metav1.ObjectMeta{Name: "db", Namespace: "shop"},
			Status:     v1.ClusterStatus{Primary: "db-0", SystemID: "7"},
		},
		NewPassword: "fresh",
	}

	for _, c := range change {
		c(&v)
	}

	return v
}

// answered is what the primary has told to the request that is asked for now.
func answered(report instanceapi.DatabaseReport) func(*View) {
	return func(v *View) {
		v.Known = &Known{At: v.Now, Report: report}
		v.Known.Hash = hash(v.request(), v.Cluster.Status.SystemID)
	}
}

func secretWith(password string) func(*View) {
	return func(v *View) {
		v.Secret = &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "orders-app"}, Data: map[string][]byte{"password": []byte(password)}}
	}
}

func TestLogical(t *testing.T) {
	t.Parallel()

	made := instanceapi.DatabaseReport{Owner: "orders", OwnerManaged: true}

	for name, tc := range map[string]struct {
		view    View
		asks    bool
		changes string
		kind    conditions.Kind
		reason  string
		message string
	}{
		"no Cluster":   {view: newView(func(v *View) { v.Cluster = nil }), kind: conditions.Waiting, reason: v1.ReasonClusterMissing, message: "Cluster db, which does not exist in namespace shop"},
		"no primary":   {view: newView(func(v *View) { v.Cluster.Status.Primary = "" }), kind: conditions.Waiting, reason: v1.ReasonWaitingForPrimary},
		"to be asked":  {view: newView(), asks: true, kind: conditions.Waiting, reason: v1.ReasonConfiguringDatabase},
		"role made":    {view: newView(answered(made)), changes: "create Secret orders-app", kind: conditions.Done, reason: v1.ReasonReady},
		"password new": {view: newView(answered(made), secretWith("fresh")), asks: true, kind: conditions.Waiting, reason: v1.ReasonConfiguringDatabase},
		"all done":     {view: newView(secretWith("fresh"), answered(made)), changes: "update Secret orders-app", kind: conditions.Done, reason: v1.ReasonReady},
		"a role of others": {
			view: newView(answered(instanceapi.DatabaseReport{Owner: "theirs"})), kind: conditions.Done, reason: v1.ReasonReady, message: "password is not looked after here",
		},
		"the Cluster's own role": {
			view: newView(answered(instanceapi.DatabaseReport{Owner: "app"}), func(v *View) {
				v.ClusterSecret = &corev1.Secret{Data: map[string][]byte{"password": []byte("theirs")}}
			}),
			changes: "create Secret orders-app", kind: conditions.Done, reason: v1.ReasonReady,
		},
		"looked at again after a while": {
			view: newView(answered(made), func(v *View) { v.Now = v.Now.Add(verifyInterval) }), asks: true,
			changes: "create Secret orders-app", kind: conditions.Done, reason: v1.ReasonReady,
		},
		"known, and no primary for a moment": {
			view:    newView(answered(made), func(v *View) { v.Cluster.Status.Primary, v.Now = "", v.Now.Add(verifyInterval) }),
			changes: "create Secret orders-app", kind: conditions.Done, reason: v1.ReasonReady,
		},
		"other data": {view: newView(answered(made), func(v *View) { v.Cluster.Status.SystemID = "8" }), asks: true, kind: conditions.Waiting, reason: v1.ReasonConfiguringDatabase},
		"two of one name, the younger": {
			view: newView(func(v *View) {
				v.Others = []v1.Database{{
					ObjectMeta: metav1.ObjectMeta{Name: "first", UID: "2", CreationTimestamp: metav1.Unix(50, 0)},
					Spec:       v1.DatabaseSpec{Cluster: &v1.LocalObjectReference{Name: "db"}, Name: "orders"},
				}}
			}),
			kind: conditions.Stalled, reason: v1.ReasonDatabaseConflict, message: "looked after by Database first",
		},
		"two of one name, the older": {
			view: newView(func(v *View) {
				v.Others = []v1.Database{{
					ObjectMeta: metav1.ObjectMeta{Name: "second", UID: "2", CreationTimestamp: metav1.Unix(500, 0)},
					Spec:       v1.DatabaseSpec{Cluster: &v1.LocalObjectReference{Name: "db"}, Name: "orders"},
				}}
			}),
			asks: true, kind: conditions.Waiting, reason: v1.ReasonConfiguringDatabase,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			plan := Decide(tc.view)

			var changes []string
			for _, change := range plan.Changes {
				changes = append(changes, change.String())
			}

			if got := strings.Join(changes, ", "); (plan.Ask != nil) != tc.asks || got != tc.changes {
				t.Errorf("asks: %t, changes: %q; want %t, %q", plan.Ask != nil, got, tc.asks, tc.changes)
			}

			if got := plan.Outcome; got.Kind != tc.kind || got.Reason != tc.reason || !strings.Contains(got.Message, tc.message) {
				t.Errorf("outcome is %+v, want %v %s %q", got, tc.kind, tc.reason, tc.message)
			}
		})
	}
}

func TestFinalizer(t *testing.T) {
	t.Parallel()

	deleting := func(v *View) { v.Object.DeletionTimestamp = &metav1.Time{} }
	finalized := func(v *View) { v.Object.Finalizers = []string{Finalizer} }
	drops := func(v *View) { v.Object.Spec.ReclaimPolicy = v1.DatabaseReclaimDelete }

	for name, tc := range map[string]struct {
		view                     View
		finalize, release, drops bool
		message                  string
	}{
		"before anything is made":         {view: newView(drops), finalize: true},
		"not under retain":                {view: newView()},
		"no longer needed":                {view: newView(finalized), release: true},
		"dropped at the end":              {view: newView(drops, finalized, deleting), drops: true, message: "dropping"},
		"retained at the end":             {view: newView(finalized, deleting), release: true},
		"its Cluster is gone":             {view: newView(drops, finalized, deleting, func(v *View) { v.Cluster = nil }), release: true},
		"its Cluster goes too":            {view: newView(drops, finalized, deleting, func(v *View) { v.Cluster.DeletionTimestamp = &metav1.Time{} }), release: true},
		"its Cluster has no primary":      {view: newView(drops, finalized, deleting, func(v *View) { v.Cluster.Status.Primary = "" }), message: "set spec.databaseReclaimPolicy to retain to let go without"},
		"nothing is left to be done here": {view: newView(drops, deleting)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			plan := Decide(tc.view)
			if plan.Finalize != tc.finalize || plan.Release != tc.release || (plan.Drop != nil) != tc.drops || !strings.Contains(plan.Outcome.Message, tc.message) {
				t.Errorf("finalize %t, release %t, drop %v, outcome %+v", plan.Finalize, plan.Release, plan.Drop, plan.Outcome)
			}

			if (tc.finalize || tc.release) && (plan.Ask != nil || len(plan.Changes) > 0) {
				t.Error("something is done beside the finalizer")
			}
		})
	}
}

// TestOwnCluster: the smallest manifest, the operator's defaults, and what the user wrote.
func TestOwnCluster(t *testing.T) {
	t.Parallel()

	v := newView(func(v *View) {
		v.Object.Spec = v1.DatabaseSpec{Engine: "postgresql", Version: "14", Image: "postgres:14", ReclaimPolicy: v1.DatabaseReclaimRetain}
		v.Cluster = nil
		v.Defaults = Defaults{Defaults: shortform.Defaults{Version: "18"}, Replicas: 2, Storage: "5Gi"}
	})

	plan := Decide(v)
	if len(plan.Changes) != 1 || plan.Changes[0].String() != "create Cluster orders" || plan.Outcome.Kind != conditions.Waiting {
		t.Fatalf("changes %v, outcome %+v", plan.Changes, plan.Outcome)
	}
}
