package crash

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// World is one scenario under way, apart from every other one: usually a namespace.
type World interface {
	// Client is what the world itself sees and changes; it never dies.
	Client() client.WithWatch
	// Run makes a new controller on the process and lets it work until nothing is left to do. It returns early, without
	// complaint, when the process dies.
	Run(t *testing.T, process *Process)
	// State is what the controller has made, without what differs from run to run (see Normalise).
	State(t *testing.T) map[string]string
}

// AfterEveryWrite runs the scenario that start makes, undisturbed and with a death after each single write.
func AfterEveryWrite(t *testing.T, start func(t *testing.T) World) {
	t.Helper()

	undisturbed := start(t)
	process := NewProcess(undisturbed.Client(), 0)
	undisturbed.Run(t, process)

	want, writes := undisturbed.State(t), process.Writes()
	t.Logf("%d writes undisturbed: %v", len(writes), writes)

	if len(writes) == 0 {
		t.Fatal("the scenario writes nothing")
	}

	quiet(t, undisturbed)

	if t.Failed() {
		return
	}

	for i, write := range writes {
		t.Run(fmt.Sprintf("%02d %s", i+1, write), func(t *testing.T) {
			t.Parallel()
			afterWrite(t, start(t), i+1, want)
		})
	}
}

func afterWrite(t *testing.T, world World, number int, want map[string]string) {
	t.Helper()

	first := NewProcess(world.Client(), number)
	world.Run(t, first)

	if !first.IsDead() {
		t.Logf("this time %d writes were enough", len(first.Writes()))
	}

	second := NewProcess(world.Client(), 0)
	world.Run(t, second)

	if diff := cmp.Diff(want, world.State(t)); diff != "" {
		t.Errorf("another end state than undisturbed (-undisturbed +after the crash):\n%s\nwrites: %v, crash, %v",
			diff, first.Writes(), second.Writes())
	}

	quiet(t, world)
}

// quiet demands that another controller finds nothing to write.
func quiet(t *testing.T, world World) {
	t.Helper()

	process := NewProcess(world.Client(), 0)
	world.Run(t, process)

	if writes := process.Writes(); len(writes) > 0 {
		t.Errorf("everything was done, and yet it writes: %v", writes)
	}
}
