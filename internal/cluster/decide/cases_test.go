package decide_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/cluster/decide"
	"github.com/caretaker-dev/caretaker/internal/conditions"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
)

// An upgraded operator restarts no database, but a pod that its predecessor's image keeps from starting is made again.
func TestOnlyAPodThatCannotStartFollowsTheOperatorsImage(t *testing.T) {
	t.Parallel()

	w := newWorld(t, running)
	w.view.Operator.Image = "caretaker.example/caretaker:2"

	if got := printed(w.plan()); len(got) > 0 {
		t.Fatalf("an upgrade of the operator does %v", got)
	}

	w.pod("db-1").Status = corev1.PodStatus{
		Phase: corev1.PodPending,
		InitContainerStatuses: []corev1.ContainerStatus{{Name: "install", State: corev1.ContainerState{
			Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff"},
		}}},
		ContainerStatuses: []corev1.ContainerStatus{{Name: "postgres", State: corev1.ContainerState{
			Waiting: &corev1.ContainerStateWaiting{Reason: "PodInitializing"},
		}}},
	}

	if got, want := printed(w.plan()), []string{"stop db-1: its specification has changed"}; !slices.Equal(got, want) {
		t.Errorf("actions %v, want %v", got, want)
	}
}

// What others add to a list is not undone by applying: the object is replaced, with what Kubernetes allocated kept.
func TestDriftIsReplaced(t *testing.T) {
	t.Parallel()

	w := newWorld(t, running)
	key := decide.Key{Kind: "Service", Name: "db-rw"}

	live, _ := w.view.Owned[key].DeepCopyObject().(*corev1.Service)
	live.ResourceVersion, live.Spec.ClusterIP, live.Labels["theirs"] = "17", "10.0.0.1", "kept"
	live.Spec.Ports = append(live.Spec.Ports, corev1.ServicePort{Name: "extra", Port: 1})
	w.view.Owned[key] = live

	plan := w.plan()
	if got, want := printed(plan), []string{"update Service db-rw"}; !slices.Equal(got, want) {
		t.Fatalf("actions %v, want %v", got, want)
	}

	apply, _ := plan.Actions[0].(decide.Apply)
	replacement, _ := apply.Replacement.(*corev1.Service)

	if !apply.Drifted || replacement == nil {
		t.Fatalf("the service is not replaced: %+v", apply)
	}

	if len(replacement.Spec.Ports) != 1 || replacement.Spec.ClusterIP != "10.0.0.1" || replacement.Labels["theirs"] != "kept" || replacement.ResourceVersion != "17" {
		t.Errorf("replaced by %+v", replacement)
	}
}

// Before there is data, wrong certificates stop everything; later they stop nothing.
func TestWrongCertificatesNeverStopAnEstablishedCluster(t *testing.T) {
	t.Parallel()

	wrong := func(w *world) {
		w.view.Certificates.Problems = []string{"spec.certificates.serverTLSSecret: has expired; renew it"}
	}

	for name, tc := range map[string]struct {
		world *world
		want  []string
	}{
		"new":         {newWorld(t, wrong), nil},
		"established": {newWorld(t, running, wrong, losePod("db-2"), setParameter("work_mem", "8MB")), []string{"update ConfigMap db-postgresql", "create Pod db-2", "configure db-0", "configure db-1"}},
	} {
		plan := tc.world.plan()
		if plan.Outcome.Kind != conditions.Stalled || plan.Outcome.Reason != v1.ReasonInvalidCertificate || !slices.Equal(printed(plan), tc.want) {
			t.Errorf("%s: %+v, %v, want %v", name, plan.Outcome, printed(plan), tc.want)
		}
	}
}

func TestSecretsOfTheUserAreChecked(t *testing.T) {
	t.Parallel()

	for _, tc := range []struct {
		name string
		data map[string][]byte
		says string
	}{
		{"missing", nil, `spec.bootstrap.initdb.secret: there is no Secret "mine" in namespace apps; create it with the keys username, password`},
		{"incomplete", map[string][]byte{"username": []byte("app")}, `spec.bootstrap.initdb.secret: Secret "mine" has no "password"; add it`},
		{"another user", map[string][]byte{"username": []byte("bob"), "password": []byte("x")}, `the username in Secret "mine" is "bob", but the user is "app"`},
		{"right", map[string][]byte{"username": []byte("app"), "password": []byte("x")}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()

			w := newWorld(t, spec(func(s *v1.ClusterSpec) {
				s.Bootstrap = &v1.BootstrapConfiguration{InitDB: &v1.BootstrapInitDB{Secret: &v1.LocalObjectReference{Name: "mine"}}}
			}))
			w.view.Secrets["mine"] = tc.data

			plan := w.plan()
			if stalled := plan.Outcome.Kind == conditions.Stalled; stalled != (tc.says != "") || !strings.Contains(plan.Outcome.Message, tc.says) {
				t.Errorf("outcome %+v, want %q", plan.Outcome, tc.says)
			}

			if tc.says != "" && len(plan.Actions) > 0 {
				t.Errorf("acts: %v", printed(plan))
			}
		})
	}
}

// A Cluster of the same name takes up what a deleted one left: volumes and record under Retain.
func TestAdoption(t *testing.T) {
	t.Parallel()

	left := newWorld(t, running)
	again := newWorld(t, spec(func(s *v1.ClusterSpec) { s.ImageName = "" }))
	again.view.DefaultImage = "postgres:18"
	again.view.Volumes, again.view.Record = left.view.Volumes, left.view.Record

	plan := again.plan()
	if plan.Outcome.Kind == conditions.Stalled || plan.Status.Image != image17 || plan.Status.Major != 17 {
		t.Fatalf("outcome %+v with image %s, major %d: the volumes' image must win over a new default", plan.Outcome, plan.Status.Image, plan.Status.Major)
	}

	again.settle(20)

	if got := again.plan().Outcome.Message; got != "3 of 3 instances ready" {
		t.Errorf("ends with %q", got)
	}

	if again.view.Volumes["db-1"].UID != left.view.Volumes["db-1"].UID {
		t.Error("a volume was replaced")
	}
}

func TestWhatAnEarlierClusterLeavesToTheCollectorIsWaitedFor(t *testing.T) {
	t.Parallel()

	left := newWorld(t, running)
	again := newWorld(t)
	again.view.Volumes = left.view.Volumes

	for name := range again.view.Volumes {
		controller := true
		again.volume(name).OwnerReferences = []metav1.OwnerReference{{Kind: "Cluster", Name: "db", UID: "old", Controller: &controller}}
	}

	if plan := again.plan(); len(plan.Actions) != 0 || !strings.Contains(plan.Outcome.Message, "an earlier Cluster is being deleted") {
		t.Errorf("%v, %v", printed(plan), plan.Outcome)
	}
}

func TestPasswordsStay(t *testing.T) {
	t.Parallel()

	w := newWorld(t, running)
	w.view.NewPassword = map[string]string{"db-app": "another"}

	if got := printed(w.plan()); len(got) > 0 {
		t.Errorf("a new password is written over the old one: %v", got)
	}
}

// Ready means that the passwords in the Secrets open the door. The kubelet looks at Secrets when a pod changes.
func TestReadyWaitsForThePasswords(t *testing.T) {
	t.Parallel()

	for _, tc := range []struct {
		name    string
		happens mutation
		// before is what is done first.
		before []string
	}{
		{"superuser access is turned on", spec(func(s *v1.ClusterSpec) {
			on := true
			s.EnableSuperuserAccess = &on
		}), []string{"update ConfigMap db-postgresql", "create Secret db-superuser", "configure db-0", "configure db-1", "configure db-2"}},
		{"the application's secret is made again", func(w *world) {
			w.view.NewPassword["db-app"] = "another"
			delete(w.view.Owned, decide.Key{Kind: "Secret", Name: "db-app"})
		}, []string{"create Secret db-app"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()

			w := newWorld(t, running, tc.happens)

			plan := w.step()
			if diff := cmp.Diff(tc.before, printed(plan)); diff != "" {
				t.Errorf("first (-want +got):\n%s", diff)
			}

			if plan.Outcome.Kind != conditions.Waiting {
				t.Errorf("at once: %+v", plan.Outcome)
			}

			for name := range w.view.Owned {
				if secret, ok := w.view.Owned[name].(*corev1.Secret); ok {
					secret.ResourceVersion = "7"
				}
			}

			plan = w.plan()
			if got, want := printed(plan), []string{"update the metadata of Pod db-0"}; !slices.Equal(got, want) {
				t.Errorf("then %v, want %v", got, want)
			}

			if want := "Applying the passwords to db-0 (3 of 3 instances ready)"; plan.Outcome.Message != want {
				t.Errorf("says %q, want %q", plan.Outcome.Message, want)
			}

			w.follow(plan)

			if plan := w.plan(); plan.Outcome.Kind != conditions.Done || len(plan.Actions) > 0 {
				t.Errorf("in the end: %+v, %v", plan.Outcome, printed(plan))
			}
		})
	}
}

func TestProgressIsTold(t *testing.T) {
	t.Parallel()

	w := newWorld(t, running)

	for name, percent := range map[string]int{"db-1": 43, "db-2": 71} {
		unready(name)(w)
		w.report(name, func(s *instanceapi.Status) { s.State, s.Progress, s.Ready = instanceapi.StateCloning, &percent, false })
	}

	plan := w.plan()
	if want := "Cloning 2 replicas from db-0 (40%); 1 of 3 instances ready"; plan.Outcome.Message != want {
		t.Errorf("says %q, want %q", plan.Outcome.Message, want)
	}
}

func TestVolumesAreExpanding(t *testing.T) {
	t.Parallel()

	w := newWorld(t, running, storageClass("fast"), spec(func(s *v1.ClusterSpec) { s.Storage.Size = "2Gi" }))
	for range 2 { // the claims, then the configuration that goes by them
		for _, action := range w.plan().Actions {
			w.do(action)
		}
	}

	w.volume("db-1").Status.Capacity = corev1.ResourceList{corev1.ResourceStorage: quantity("1Gi")}
	w.volume("db-0").Status.Capacity = corev1.ResourceList{corev1.ResourceStorage: quantity("2Gi")}
	w.volume("db-2").Status.Capacity = corev1.ResourceList{corev1.ResourceStorage: quantity("2Gi")}

	if got, want := w.plan().Outcome.Message, "Expanding volumes: db-1 from 1Gi to 2Gi (3 of 3 instances ready)"; got != want {
		t.Errorf("says %q, want %q", got, want)
	}
}
