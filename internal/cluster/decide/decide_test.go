package decide_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/cluster/decide"
	"github.com/caretaker-dev/caretaker/internal/conditions"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

func TestFirstPassMakesEverything(t *testing.T) {
	t.Parallel()

	got := printed(newWorld(t).plan())
	want := []string{
		"create the term record with db-0 to bootstrap",
		"create ServiceAccount db", "create Role db", "create RoleBinding db", "create ConfigMap db-postgresql",
		"create Secret db-app",
		"create Service db-rw", "create Service db-ro", "create Service db-r", "create Service db-members",
		"create PodDisruptionBudget db",
		"create PersistentVolumeClaim db-0", "create PersistentVolumeClaim db-1", "create PersistentVolumeClaim db-2",
		"create Pod db-0", "create Pod db-1", "create Pod db-2",
	}

	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("actions (-want +got):\n%s", diff)
	}
}

func TestAClusterComesUpAndThenNothingIsWritten(t *testing.T) {
	t.Parallel()

	w := newWorld(t, running)
	if got := printed(w.plan()); len(got) > 0 {
		t.Errorf("an idle Cluster is written to: %v", got)
	}

	status := w.plan().Status
	if status.Primary != "db-0" || status.Term != 1 || status.Major != 17 || status.ReadyInstances != 3 || status.Members[2].MemberID == "" {
		t.Errorf("status is %+v", status)
	}
}

// What Decide does about a running Cluster after one thing has happened to it, and what it says.
func TestOneThingHappens(t *testing.T) {
	t.Parallel()

	for _, tc := range []struct {
		name    string
		happens []mutation
		want    []string
		kind    conditions.Kind
		says    string
	}{
		{
			name: "nothing", kind: conditions.Done, says: "3 of 3 instances ready",
		},
		{
			name: "a replica's pod is gone", happens: []mutation{losePod("db-2")},
			want: []string{"create Pod db-2"}, kind: conditions.Waiting, says: "db-2",
		},
		{
			name: "the primary's pod is gone", happens: []mutation{losePod("db-0")},
			want: []string{"create Pod db-0"}, kind: conditions.Waiting, says: "Waiting for db-0",
		},
		{
			name: "a replica lost pod and volume", happens: []mutation{losePod("db-1"), loseVolume("db-1")},
			want: []string{"create PersistentVolumeClaim db-1", "create Pod db-1"}, kind: conditions.Waiting, says: "db-1",
		},
		{
			name: "the primary lost pod and volume", happens: []mutation{losePod("db-0"), loseVolume("db-0")},
			kind: conditions.Waiting, says: "the volume of the primary db-0 is gone; a replica takes over",
		},
		{
			name: "the primary lost pod and volume, and there is no replica", happens: []mutation{losePod("db-0"), loseVolume("db-0"), func(w *world) {
				w.view.Record = w.view.Record.DeepCopy()
				w.view.Record.Spec.Voters = nil
			}},
			kind: conditions.Stalled, says: "the volume of the primary db-0 is gone",
		},
		{
			name: "a pod was evicted", happens: []mutation{func(w *world) {
				w.pod("db-2").Status = corev1.PodStatus{Phase: corev1.PodFailed, Reason: "Evicted"}
			}},
			want: []string{"stop db-2: it has ended: Evicted"}, kind: conditions.Waiting, says: "Evicted",
		},
		{
			name: "scaled up", happens: []mutation{spec(func(s *v1.ClusterSpec) { s.Instances = 4 })},
			want: []string{
				"update Role db", "update ConfigMap db-postgresql", "update PodDisruptionBudget db",
				"create PersistentVolumeClaim db-3", "create Pod db-3", "configure db-0", "configure db-1", "configure db-2",
			},
			kind: conditions.Waiting, says: "Applying the configuration",
		},
		{
			name: "scaled down", happens: []mutation{spec(func(s *v1.ClusterSpec) { s.Instances = 2 })},
			want: []string{
				"update Role db", "update ConfigMap db-postgresql", "update PodDisruptionBudget db",
				"configure db-0", "configure db-1", "configure db-2",
			},
			kind: conditions.Waiting, says: "Scaling down: db-2 is removed as soon as no commit depends on it",
		},
		{
			name: "scaled down while the primary is not ready", happens: []mutation{spec(func(s *v1.ClusterSpec) { s.Instances = 2 }), unready("db-0")},
			want: []string{
				"update Role db", "update ConfigMap db-postgresql", "update PodDisruptionBudget db",
				"configure db-0", "configure db-1", "configure db-2",
			},
			kind: conditions.Waiting, says: "db-2 is removed when the primary db-0 serves again",
		},
		{
			name: "another image", happens: []mutation{spec(func(s *v1.ClusterSpec) { s.ImageName = image17b })},
			want: []string{"stop db-2: its specification has changed"}, kind: conditions.Waiting, says: "Rolling update: db-2 is being replaced",
		},
		{
			name:    "another image while a replica is not ready",
			happens: []mutation{spec(func(s *v1.ClusterSpec) { s.ImageName = image17b }), unready("db-1")},
			want:    []string{"stop db-1: its specification has changed"}, kind: conditions.Waiting, says: "db-1",
		},
		{
			name:    "another image while the primary recovers",
			happens: []mutation{spec(func(s *v1.ClusterSpec) { s.ImageName = image17b }), unready("db-0")},
			kind:    conditions.Waiting, says: "waits until db-0 is ready",
		},
		{
			name: "another major", happens: []mutation{spec(func(s *v1.ClusterSpec) { s.ImageName = "postgres:18" })},
			kind: conditions.Stalled, says: "spec.imageName: postgres:18 is PostgreSQL 18, but the data is of PostgreSQL 17",
		},
		{
			name: "another image and nothing in its place", happens: []mutation{spec(func(s *v1.ClusterSpec) { s.ImageName = "" }), func(w *world) {
				w.view.DefaultImage = "postgres:18"
			}},
			kind: conditions.Done, says: "3 of 3 instances ready",
		},
		{
			name: "a wrong parameter", happens: []mutation{setParameter("max_connections", "many")},
			kind: conditions.Stalled, says: "spec.postgresql.parameters.max_connections:",
		},
		{
			name: "a lost pod beside a wrong parameter", happens: []mutation{setParameter("max_connections", "many"), losePod("db-2")},
			want: []string{"create Pod db-2"}, kind: conditions.Stalled, says: "spec.postgresql.parameters.max_connections:",
		},
		{
			name: "a reloadable parameter", happens: []mutation{setParameter("work_mem", "8MB")},
			want: []string{"update ConfigMap db-postgresql", "configure db-0", "configure db-1", "configure db-2"},
			kind: conditions.Waiting, says: "Applying the configuration",
		},
		{
			name: "larger volumes", happens: []mutation{storageClass("fast"), spec(func(s *v1.ClusterSpec) { s.Storage.Size = "2Gi" })},
			want: []string{
				"update PersistentVolumeClaim db-0: grow from 1Gi to 2Gi", "update PersistentVolumeClaim db-1: grow from 1Gi to 2Gi",
				"update PersistentVolumeClaim db-2: grow from 1Gi to 2Gi",
			},
			kind: conditions.Done, says: "ready",
		},
		{
			name: "larger volumes that cannot grow", happens: []mutation{
				storageClass("slow"), spec(func(s *v1.ClusterSpec) { s.Storage.Size = "2Gi" }),
				func(w *world) { w.view.Expandable = map[string]bool{"slow": false} },
			},
			kind: conditions.Stalled, says: `storage class "slow" does not allow expansion`,
		},
		{
			name: "fewer connections, which no replica may have before the primary", happens: []mutation{
				pendingRestart("db-0", "max_connections", "200", "100"),
			},
			want: []string{"restart PostgreSQL of db-0: max_connections"}, kind: conditions.Waiting, says: "Restarting PostgreSQL of db-0",
		},
		{
			name: "a restart that only the primary has heard of", happens: []mutation{
				pendingRestart("db-0", "shared_buffers", "128MB", "256MB"),
				func(w *world) {
					for _, name := range []string{"db-1", "db-2"} {
						w.report(name, func(s *instanceapi.Status) { s.ConfigHash = "older" })
					}
				},
			},
			want: []string{"configure db-1", "configure db-2"}, kind: conditions.Waiting, says: "Applying the configuration",
		},
		{
			name: "hibernation", happens: []mutation{annotate(naming.AnnotationHibernate, "on")},
			want: []string{"stop db-1: hibernation", "stop db-2: hibernation"}, kind: conditions.Waiting, says: "Hibernating",
		},
		{
			name: "pause", happens: []mutation{annotate(naming.AnnotationPaused, "true"), losePod("db-1")},
			kind: conditions.Resting, says: "paused",
		},
		{
			name: "the record is deleted", happens: []mutation{func(w *world) { w.view.Record = nil }},
			want: []string{"create an empty term record"}, kind: conditions.Waiting, says: "the primary db-0 writes the missing term record again",
		},
		{
			name: "the record is deleted and no primary serves", happens: []mutation{func(w *world) { w.view.Record = nil }, losePod("db-0")},
			want: []string{"create an empty term record"}, kind: conditions.Stalled,
			says: "the term record ClusterTerm/db was deleted while the volumes db-0, db-1, db-2 exist, and no primary serves",
		},
		{
			name: "the user says whom to trust after the record was made", happens: []mutation{
				func(w *world) { w.view.Record.Spec = v1.ClusterTermSpec{} }, losePod("db-0"), annotate(naming.AnnotationBootstrapFrom, "db-1"),
			},
			want: []string{"create the term record with db-1 to bootstrap", "create Pod db-0"}, kind: conditions.Waiting, says: "Waiting for db-1",
		},
		{
			name: "the record is deleted and the user says whom to trust", happens: []mutation{
				func(w *world) { w.view.Record = nil }, annotate(naming.AnnotationBootstrapFrom, "db-1"),
			},
			want: []string{"create the term record with db-1 to bootstrap"}, kind: conditions.Waiting, says: "Waiting for db-1: it takes charge",
		},
		{
			name: "a service changed by hand", happens: []mutation{func(w *world) {
				service, _ := w.view.Owned[decide.Key{Kind: "Service", Name: "db-rw"}].DeepCopyObject().(*corev1.Service)
				service.Spec.Selector = map[string]string{"app": "other"}
				w.view.Owned[decide.Key{Kind: "Service", Name: "db-rw"}] = service
			}},
			want: []string{"update Service db-rw"}, kind: conditions.Done, says: "ready",
		},
		{
			name: "a service no longer wanted", happens: []mutation{spec(func(s *v1.ClusterSpec) {
				s.Managed = &v1.ManagedConfiguration{Services: &v1.ManagedServices{DisabledDefaultServices: []v1.ServiceSelectorType{"r"}}}
			})},
			want: []string{"delete Service db-r"}, kind: conditions.Done, says: "ready",
		},
		{
			name: "a service of a taken name", happens: []mutation{spec(func(s *v1.ClusterSpec) {
				s.Managed = &v1.ManagedConfiguration{Services: &v1.ManagedServices{Additional: []v1.ManagedService{
					{SelectorType: "rw", ServiceTemplate: v1.ServiceTemplate{Metadata: v1.ServiceTemplateMetadata{Name: "db-rw"}}},
				}}}
			})},
			kind: conditions.Stalled, says: `"db-rw" is already a service of this Cluster`,
		},
		{
			name: "a user's secret that does not exist", happens: []mutation{spec(func(s *v1.ClusterSpec) {
				on := true
				s.EnableSuperuserAccess, s.SuperuserSecret = &on, &v1.LocalObjectReference{Name: "root"}
			}), func(w *world) { w.view.Secrets = map[string]map[string][]byte{"root": nil} }},
			kind: conditions.Stalled, says: `spec.superuserSecret: there is no Secret "root" in namespace apps`,
		},
		{
			name: "an instance that has given up", happens: []mutation{unready("db-1"), func(w *world) {
				w.report("db-1", func(s *instanceapi.Status) {
					s.State, s.Message, s.Ready = instanceapi.StateFailed, "the disk is full; expand the volume", false
				})
			}},
			kind: conditions.Stalled, says: "db-1: the disk is full; expand the volume (2 of 3 instances ready)",
		},
		{
			name: "PostgreSQL of the primary dies again and again, and serves in between", happens: []mutation{func(w *world) {
				w.report("db-0", func(s *instanceapi.Status) {
					s.Message, s.Protocol = "PostgreSQL ended by itself 5 times; look at its log", &instanceapi.Protocol{Deaths: 5}
				})
			}},
			kind: conditions.Stalled, says: "db-0: PostgreSQL ended by itself 5 times; look at its log (3 of 3 instances ready)",
		},
		{
			name: "a single missed call", happens: []mutation{silent(2*time.Second, "db-1")},
			kind: conditions.Done, says: "3 of 3 instances ready",
		},
		{
			name: "silence while others answer: its kubelet may be lost with it", happens: []mutation{silent(6*time.Second, "db-1")},
			kind: conditions.Waiting,
			says: " UTC; look at its node, its log, and network policies (2 of 3 instances ready)",
		},
		{
			name: "the primary's node is lost", happens: []mutation{silent(6*time.Second, "db-0")},
			kind: conditions.Waiting, says: "Waiting for db-0: no answer on port 8000 since",
		},
		{
			name: "silence of all: the operator may be cut off", happens: []mutation{silent(19*time.Second, "db-0", "db-1", "db-2")},
			kind: conditions.Done, says: "3 of 3 instances ready",
		},
		{
			name: "long silence of all", happens: []mutation{silent(time.Minute, "db-0", "db-1", "db-2")},
			kind: conditions.Waiting, says: " UTC; look at its node, its log, and network policies (3 of 3 instances ready)",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()

			plan := newWorld(t, append([]mutation{running}, tc.happens...)...).plan()

			if diff := cmp.Diff(tc.want, printed(plan)); diff != "" {
				t.Errorf("actions (-want +got):\n%s", diff)
			}

			if plan.Outcome.Kind != tc.kind || !strings.Contains(plan.Outcome.Message, tc.says) {
				t.Errorf("outcome is %v %q, want %v with %q", plan.Outcome.Kind, plan.Outcome.Message, tc.kind, tc.says)
			}

			if plan.After <= 0 {
				t.Error("nobody looks again")
			}
		})
	}
}

// The instances that are taken down, in their order, until the Cluster is at rest.
func TestOrders(t *testing.T) {
	t.Parallel()

	for _, tc := range []struct {
		name    string
		happens []mutation
		want    []string
		ends    string
	}{
		{
			"rolling update",
			[]mutation{spec(func(s *v1.ClusterSpec) { s.ImageName = image17b })},
			[]string{"stop db-2", "stop db-1", "ask db-0 to hand over to a replica", "stop db-0"},
			"3 of 3 instances ready",
		},
		{
			"rolling update by restart",
			[]mutation{spec(func(s *v1.ClusterSpec) {
				s.ImageName, s.PrimaryUpdateMethod = image17b, v1.PrimaryUpdateRestart
			})},
			[]string{"stop db-2", "stop db-1", "stop db-0"},
			"3 of 3 instances ready",
		},
		{
			"rolling update to an image that cannot be pulled",
			[]mutation{spec(func(s *v1.ClusterSpec) { s.ImageName = "postgres:17-missing" })},
			[]string{"stop db-2"},
			"",
		},
		{
			"supervised rolling update",
			[]mutation{spec(func(s *v1.ClusterSpec) {
				s.ImageName, s.PrimaryUpdateStrategy = image17b, v1.PrimaryUpdateSupervised
			})},
			[]string{"stop db-2", "stop db-1"},
			"Waiting for you: the primary db-0 is the last to be updated",
		},
		{
			"supervised rolling update, with the user's leave: what was replaced is not restarted once more",
			[]mutation{
				spec(func(s *v1.ClusterSpec) { s.ImageName, s.PrimaryUpdateStrategy = image17b, v1.PrimaryUpdateSupervised }),
				func(w *world) { w.settle(20) }, annotate(naming.AnnotationRestart, "1"),
			},
			[]string{"ask db-0 to hand over to a replica", "stop db-0"},
			"3 of 3 instances ready",
		},
		{
			"a restart by annotation",
			[]mutation{annotate(naming.AnnotationRestart, "1")},
			[]string{"restart PostgreSQL of db-2", "restart PostgreSQL of db-1", "ask db-0 to hand over to a replica"},
			"3 of 3 instances ready",
		},
		{
			"the annotation is taken away again",
			[]mutation{
				annotate(naming.AnnotationRestart, "1"), func(w *world) { w.settle(20) },
				func(w *world) {
					w.view.Cluster = w.view.Cluster.DeepCopy()
					delete(w.view.Cluster.Annotations, naming.AnnotationRestart)
				},
			},
			nil,
			"3 of 3 instances ready",
		},
		{
			"scale 3 to 1",
			[]mutation{spec(func(s *v1.ClusterSpec) { s.Instances = 1 })},
			[]string{"stop db-2", "delete the volume of db-2", "stop db-1", "delete the volume of db-1"},
			"1 of 1 instance ready",
		},
		{
			"scale down when the last one leads",
			[]mutation{leadBy("db-2"), spec(func(s *v1.ClusterSpec) { s.Instances = 2 })},
			[]string{"ask db-2 to hand over to db-0", "stop db-2", "delete the volume of db-2"},
			"2 of 2 instances ready",
		},
		{
			"hibernate",
			[]mutation{annotate(naming.AnnotationHibernate, "on")},
			[]string{"stop db-1", "stop db-2", "stop db-0"},
			"hibernated by annotation",
		},
		{
			"more connections",
			[]mutation{
				pendingRestart("db-0", "max_connections", "100", "200"),
				pendingRestart("db-1", "max_connections", "100", "200"), pendingRestart("db-2", "max_connections", "100", "200"),
			},
			[]string{"restart PostgreSQL of db-2", "restart PostgreSQL of db-1", "ask db-0 to hand over to a replica"},
			"3 of 3 instances ready",
		},
		{
			"more connections, by restart",
			[]mutation{
				spec(func(s *v1.ClusterSpec) { s.PrimaryUpdateMethod = v1.PrimaryUpdateRestart }),
				pendingRestart("db-0", "max_connections", "100", "200"), pendingRestart("db-1", "max_connections", "100", "200"),
			},
			[]string{"restart PostgreSQL of db-1", "restart PostgreSQL of db-0"},
			"3 of 3 instances ready",
		},
		{
			"fewer connections",
			[]mutation{
				pendingRestart("db-0", "max_connections", "200", "100"),
				pendingRestart("db-1", "max_connections", "200", "100"), pendingRestart("db-2", "max_connections", "200", "100"),
			},
			[]string{"restart PostgreSQL of db-0", "restart PostgreSQL of db-2", "restart PostgreSQL of db-1"},
			"3 of 3 instances ready",
		},
		{
			"a restart by annotation, supervised",
			[]mutation{
				spec(func(s *v1.ClusterSpec) { s.PrimaryUpdateStrategy = v1.PrimaryUpdateSupervised }),
				pendingRestart("db-0", "restart requested", "", "1"), pendingRestart("db-1", "restart requested", "", "1"),
			},
			[]string{"restart PostgreSQL of db-1", "ask db-0 to hand over to a replica"},
			"3 of 3 instances ready",
		},
		{
			"a parameter, supervised",
			[]mutation{
				spec(func(s *v1.ClusterSpec) { s.PrimaryUpdateStrategy = v1.PrimaryUpdateSupervised }),
				pendingRestart("db-0", "shared_buffers", "16384", "32768"), pendingRestart("db-1", "shared_buffers", "16384", "32768"),
			},
			[]string{"restart PostgreSQL of db-1"},
			"Waiting for you: shared_buffers takes effect when the primary db-0 restarts",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()

			w := newWorld(t, append([]mutation{running}, tc.happens...)...)

			var got []string

			for range 40 {
				for _, action := range printed(w.step()) {
					subject, _, _ := strings.Cut(action, ":")
					if strings.HasPrefix(action, "stop") || strings.HasPrefix(action, "restart") || strings.HasPrefix(action, "ask") || strings.Contains(action, "volume of") {
						got = append(got, subject)
					}
				}
			}

			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("order (-want +got):\n%s", diff)
			}

			if message := w.plan().Outcome.Message; !strings.Contains(message, tc.ends) {
				t.Errorf("ends with %q, want %q", message, tc.ends)
			}
		})
	}
}

// leadBy is after a failover to that instance.
func leadBy(name string) mutation {
	return func(w *world) {
		w.handOver("db-0", name)
		w.settle(10)
	}
}

func TestABadImageIsCuredByAGoodOne(t *testing.T) {
	t.Parallel()

	w := newWorld(t, running, spec(func(s *v1.ClusterSpec) { s.ImageName = "postgres:17-missing" }))
	w.settle(10)
	w.pod("db-2").Status = corev1.PodStatus{Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{{
		Name: "postgres", Image: "postgres:17-missing",
		State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "not found"}},
	}}}

	plan := w.plan()
	if want := "Waiting for db-2: the image postgres:17-missing cannot be pulled (not found); correct spec.imageName"; !strings.Contains(plan.Outcome.Message, want) {
		t.Errorf("says %q, want %q", plan.Outcome.Message, want)
	}

	if plan.Outcome.Reason != v1.ReasonImagePullFailed || len(plan.Actions) > 0 {
		t.Errorf("reason %s, actions %v", plan.Outcome.Reason, printed(plan))
	}

	spec(func(s *v1.ClusterSpec) { s.ImageName = image17b })(w)

	if got, want := printed(w.plan()), []string{"stop db-2: its specification has changed"}; !slices.Equal(got, want) {
		t.Errorf("actions %v, want the broken one first: %v", got, want)
	}

	w.settle(40)

	if message := w.plan().Outcome.Message; message != "3 of 3 instances ready" {
		t.Errorf("ends with %q", message)
	}
}

func TestWakingUp(t *testing.T) {
	t.Parallel()

	w := newWorld(t, running, annotate(naming.AnnotationHibernate, "on"))
	w.settle(20)

	if w.view.Cluster.Status.Hibernated == nil || len(w.view.Pods) != 0 || len(w.view.Volumes) != 3 {
		t.Fatalf("asleep since %v with %d pods and %d volumes", w.view.Cluster.Status.Hibernated, len(w.view.Pods), len(w.view.Volumes))
	}

	annotate(naming.AnnotationHibernate, "off")(w)

	plan := w.plan()
	if got, want := printed(plan), []string{"create Pod db-0", "create Pod db-1", "create Pod db-2"}; !slices.Equal(got, want) {
		t.Errorf("actions %v, want %v", got, want)
	}

	if plan.Outcome.Reason != v1.ReasonWaking {
		t.Errorf("reason %s", plan.Outcome.Reason)
	}

	w.settle(20)

	if w.view.Cluster.Status.Hibernated != nil || w.plan().Outcome.Kind != conditions.Done {
		t.Errorf("still asleep: %+v", w.plan().Outcome)
	}
}
