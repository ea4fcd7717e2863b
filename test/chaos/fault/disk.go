package fault

import (
	"context"
	"fmt"
)

// What a filled volume is made with. A filesystem of more than 4 GiB is the machine's, and is not touched.
const (
	dataDir = "D=${PGDATA:-/var/lib/postgresql/data/pgdata}; F=$D/../filler; set -- $(df -Pk $D | tail -1); "
	fill    = dataDir + `[ "$2" -lt 4194304 ] || { echo "the volume has no filesystem of its own" >&2; exit 1; }; dd if=/dev/zero of=$F bs=1M 2>/dev/null; sync $F; [ -s $F ]`
	isFull  = dataDir + `[ "${5%\%}" -ge 95 ]`
	empty   = dataDir + `rm -f $F`
)

// fillDisk leaves no room on the pod's volume.
func fillDisk(ctx context.Context, v Victim) (Fault, error) {
	in := v.InContainer(v.Pod.Name)
	heal := func(ctx context.Context) error {
		_, err := v.Exec(ctx, in, "sh", "-c", empty)

		return err
	}

	if _, err := v.Exec(ctx, in, "sh", "-c", fill); err != nil {
		return Fault{Heal: heal}, fmt.Errorf("fill the volume: %w", err)
	}

	return Fault{Heal: heal, Happened: func(ctx context.Context) error {
		if _, err := v.Exec(ctx, in, "sh", "-c", isFull); err != nil {
			return fmt.Errorf("%w: the volume is not full (%w)", errStill, err)
		}

		return nil
	}}, nil
}
