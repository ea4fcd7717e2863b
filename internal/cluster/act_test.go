package cluster

import (
	"testing"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/cluster/clustertest"
	"github.com/caretaker-dev/caretaker/internal/cluster/decide"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/instanceclient"
	"github.com/caretaker-dev/caretaker/internal/reconcile"
)

func TestNothingIsTakenDownAfterAFailure(t *testing.T) {
	t.Parallel()

	instances := clustertest.NewInstances()
	instances.Set("db-1", instanceapi.Status{})

	r := &Reconciler{options: Options{Instances: instances}}
	o := observation{
		View: decide.View{
			Cluster: &v1.Cluster{},
			Record:  &v1.ClusterTerm{Spec: v1.ClusterTermSpec{Established: true}},
		},
		targets: map[string]instanceclient.Target{"db-0": {Name: "db-0"}, "db-1": {Name: "db-1"}},
	}

	// db-0 is silent: it cannot be configured.
	done, err := r.act(t.Context(), o, []decide.Action{
		decide.PutConfig{Instance: "db-1"}, decide.PutConfig{Instance: "db-0"}, decide.Restart{Instance: "db-1", Why: "max_connections"},
	})

	if len(done) != 1 || len(instances.Restarts()) != 0 {
		t.Errorf("done: %v, restarted: %v", done, instances.Restarts())
	}

	if reconcile.Classify(err) != reconcile.ClassRetryable || err.Error() != "configure db-0: instance db-0 cannot be reached: no answer" {
		t.Errorf("error is %v", err)
	}
}

func TestABusyInstanceIsAskedAgainSilently(t *testing.T) {
	t.Parallel()

	busy := &instanceclient.RefusedError{Instance: "db-0", StatusCode: 409, Message: "PostgreSQL is not running"}
	if got := reconcile.Classify(moment(busy)); got != reconcile.ClassConflict {
		t.Errorf("busy is %s", got)
	}

	wrong := &instanceclient.RefusedError{Instance: "db-0", StatusCode: 422, Message: "no"}
	if got := moment(wrong); !isUsersToSolve(got) {
		t.Errorf("%v is not told to the user", got)
	}
}
