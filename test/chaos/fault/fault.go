package fault

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/caretaker-dev/caretaker/test/chaos/target"
)

// Kind is a way to break something.
type Kind struct {
	// Words say what is done, to those who watch.
	Words string
	// Node: it is done to a pod's node, or to the control plane, and so needs the development cluster.
	Node bool
	// BlindsAPI: the API server cannot be asked while it lasts.
	BlindsAPI bool

	inject func(ctx context.Context, v Victim) (Fault, error)
}

// Victim is what a fault is done to.
type Victim struct {
	*target.Target

	// Pod of an instance.
	Pod *corev1.Pod
}

// Fault is one that was injected.
type Fault struct {
	// Happened returns an error unless the fault has really happened.
	Happened func(ctx context.Context) error
	// Heal undoes it; it may be called more than once.
	Heal func(ctx context.Context) error
}

// Inject a fault by its name.
func Inject(ctx context.Context, name string, v Victim) (Fault, error) {
	kind, ok := Kinds()[name]
	if !ok {
		return Fault{}, fmt.Errorf("no fault %q; there are %v", name, Names())
	}

	if kind.Node && v.Nodes == nil {
		return Fault{}, fmt.Errorf("fault %s needs the development cluster, or a command of yours for it", name)
	}

	f, err := kind.inject(ctx, v)
	if err != nil {
		return Fault{}, fmt.Errorf("fault %s on %s: %w", name, v.Pod.Name, err)
	}

	if f.Heal == nil {
		f.Heal = func(context.Context) error { return nil }
	}

	return f, nil
}

// Names of all kinds.
func Names() []string { return slices.Sorted(maps.Keys(Kinds())) }

// Kinds by name.
func Kinds() map[string]Kind {
	return map[string]Kind{
		"none": {Words: "do nothing", inject: none},

		"kill-postgres":  {Words: "kill the postmaster with SIGKILL", inject: killPostmaster},
		"kill-pid1":      {Words: "kill PID 1 of the pod with SIGKILL", inject: killInit},
		"stop-postgres":  {Words: "stop all processes of PostgreSQL with SIGSTOP", inject: stopPostgres},
		"stop-pid1":      {Words: "stop PID 1 of the pod with SIGSTOP", Node: true, inject: stopInit},
		"stop-pid1-then": {Words: "stop PID 1 with SIGSTOP and force-delete the pod", Node: true, inject: stopInitAndForceDelete},

		"pod-delete":       {Words: "delete the pod", inject: deletePod},
		"pod-force-delete": {Words: "force-delete the pod", inject: forceDeletePod},

		"volume-and-primary": {Words: "delete a replica's pod and volume, and kill PID 1 of the primary's pod with SIGKILL", inject: deleteReplicaAndKill},

		"disk-full": {Words: "fill the pod's volume", inject: fillDisk},

		"node-off":   {Words: "cut the power of the pod's node", Node: true, inject: nodeOff},
		"node-pause": {Words: "freeze the pod's node", Node: true, inject: nodePause},
		"cut-all":    {Words: "cut the pod's node off from everything", Node: true, inject: cut("")},
		"cut-api":    {Words: "cut the pod's node off from the API server", Node: true, inject: cut("api")},
		"cut-peers":  {Words: "cut the pod's node off from the other nodes", Node: true, inject: cut("peers")},
		"cut-in":     {Words: "let nothing reach the pod's node", Node: true, inject: cut("in")},
		"cut-out":    {Words: "let nothing leave the pod's node", Node: true, inject: cut("out")},
		"api-down":   {Words: "stop the API server", Node: true, BlindsAPI: true, inject: apiDown},
	}
}

func none(context.Context, Victim) (Fault, error) {
	return Fault{Happened: func(context.Context) error { return nil }}, nil
}

// errStill says that what should be gone is there.
var errStill = errors.New("the fault did not happen")
