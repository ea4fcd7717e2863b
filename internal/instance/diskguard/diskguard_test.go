package diskguard_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/caretaker-dev/caretaker/internal/instance/diskguard"
)

const (
	mib = int64(1) << 20
	gib = int64(1) << 30
)

func TestLimits(t *testing.T) {
	for _, volume := range []int64{64 * mib, 256 * mib, gib, 10 * gib, 100 * gib, 4096 * gib} {
		for _, segment := range []int64{0, mib, 64 * mib} {
			l := diskguard.LimitsOf(volume, segment)

			// Refused in time, while the reserve is whole; and no limit takes away much of a volume.
			if l.Reserve <= 0 || l.ReleaseBelow <= 0 || l.Reserve+2*l.ReleaseBelow > l.ReadOnlyBelow || l.ReadOnlyBelow >= l.WritableAbove ||
				l.Reserve > volume/10 || l.WritableAbove > volume*24/100 {
				t.Errorf("%d MiB, segments of %d: %+v", volume/mib, segment, l)
			}
		}
	}

	if l := diskguard.LimitsOf(100*gib, 0); l.ReadOnlyBelow != 5*gib {
		t.Errorf("100 GiB: %+v", l)
	}
}

// TestAVolumeFillsUpAndGrows follows a volume of 10 GiB.
func TestAVolumeFillsUpAndGrows(t *testing.T) {
	small, large := diskguard.LimitsOf(10*gib, 0), diskguard.LimitsOf(20*gib, 0)
	state := diskguard.State{}

	for _, step := range []struct {
		name     string
		limits   diskguard.Limits
		free     int64
		readOnly bool
		reserve  int64
	}{
		{"new: the reserve is made", small, 9 * gib, false, small.Reserve},
		{"half full", small, 5 * gib, false, small.Reserve},
		{"nearly full", small, small.ReadOnlyBelow - small.Reserve - 1, true, small.Reserve},
		{"a little was deleted", small, small.ReadOnlyBelow - small.Reserve + 50*mib, true, small.Reserve},
		{"writes went on", small, small.ReleaseBelow - 1, true, 0},
		{"the reserve is free now", small, small.Reserve + small.ReleaseBelow, true, 0},
		{"full to the last byte", small, 0, true, 0},
		{"grown", large, 10 * gib, false, large.Reserve},
	} {
		state.Free = step.free

		got := diskguard.Decide(step.limits, state)
		if got.ReadOnly != step.readOnly || got.Reserve != step.reserve {
			t.Errorf("%s: %+v, want read-only %v and a reserve of %d", step.name, got, step.readOnly, step.reserve)
		}

		state.ReadOnly, state.Reserve = got.ReadOnly, got.Reserve
	}
}

func TestReserveTakesRoom(t *testing.T) {
	dir := t.TempDir()

	if err := diskguard.Reserve(dir, 3*mib); err != nil {
		t.Fatal(err)
	}

	info, err := os.Stat(filepath.Join(dir, "reserve"))
	if err != nil {
		t.Fatal(err)
	}

	if stat, ok := info.Sys().(*syscall.Stat_t); !ok || stat.Blocks*512 < 3*mib {
		t.Errorf("it takes %d blocks: it is sparse", stat.Blocks)
	}

	// Larger, as the volume grew.
	if err := diskguard.Reserve(dir, 5*mib); err != nil {
		t.Fatal(err)
	}

	if got, err := diskguard.Reserved(dir); err != nil || got != 5*mib {
		t.Errorf("got %d, %v", got, err)
	}

	for range 2 {
		if err := diskguard.Reserve(dir, 0); err != nil {
			t.Fatal(err)
		}
	}

	if got, err := diskguard.Reserved(dir); err != nil || got != 0 {
		t.Errorf("got %d, %v", got, err)
	}
}
