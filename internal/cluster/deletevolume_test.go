package cluster

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/cluster/decide"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/internal/reconcile"
)

// surplus is an API server with a record, and the volume of a member that is one too many.
type surplus struct {
	client.Client

	spec    v1.ClusterTermSpec
	pod     bool
	deleted []string
}

// Get answers from what there is.
func (s *surplus) Get(_ context.Context, key client.ObjectKey, object client.Object, _ ...client.GetOption) error {
	switch object := object.(type) {
	case *v1.ClusterTerm:
		object.Spec = s.spec
	case *corev1.PersistentVolumeClaim:
		object.Name, object.Annotations = key.Name, map[string]string{naming.AnnotationMemberID: "m-2"}
	case *corev1.Pod:
		if !s.pod {
			return apierrors.NewNotFound(schema.GroupResource{Resource: "pods"}, key.Name)
		}
	}

	return nil
}

// Delete remembers what it was asked for.
func (s *surplus) Delete(_ context.Context, object client.Object, _ ...client.DeleteOption) error {
	s.deleted = append(s.deleted, object.GetName())

	return nil
}

// The cache may be behind: what the record says now decides whether a copy of acknowledged commits may go.
func TestDeleteVolumeLooksAtTheRecordOnceMore(t *testing.T) {
	t.Parallel()

	leads := &v1.TermHolder{MemberID: "m-0", Name: "db-0"}

	for name, c := range map[string]struct {
		spec v1.ClusterTermSpec
		pod  bool
		want bool
	}{
		"neither leads nor votes":     {spec: v1.ClusterTermSpec{Primary: leads, Voters: []string{"m-1"}, Acks: 1}, want: true},
		"votes":                       {spec: v1.ClusterTermSpec{Primary: leads, Voters: []string{"m-1", "m-2"}, Acks: 1}},
		"is the only voter":           {spec: v1.ClusterTermSpec{Primary: leads, Voters: []string{"m-2"}, Acks: 1}},
		"leads":                       {spec: v1.ClusterTermSpec{Primary: &v1.TermHolder{MemberID: "m-2", Name: "db-9"}}},
		"bears the name of who leads": {spec: v1.ClusterTermSpec{Primary: &v1.TermHolder{MemberID: "m-9", Name: "db-2"}}},
		"nobody leads":                {},
		"may be elected":              {spec: v1.ClusterTermSpec{Primary: leads, Pending: &v1.PendingTerm{Term: 2}}},
		"its pod is there":            {spec: v1.ClusterTermSpec{Primary: leads}, pod: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			api := &surplus{spec: c.spec, pod: c.pod}
			r := &Reconciler{client: api, live: api}
			cluster := &v1.Cluster{ObjectMeta: metav1.ObjectMeta{Name: "db", Namespace: "apps"}}
			err := r.deleteVolume(t.Context(), cluster, decide.DeleteVolume{Name: "db-2"})

			if got := len(api.deleted) == 1; got != c.want {
				t.Errorf("deleted %v, want %v; error %v", api.deleted, c.want, err)
			}

			if !c.want && reconcile.Classify(err) != reconcile.ClassConflict {
				t.Errorf("error is %v", err)
			}
		})
	}
}
