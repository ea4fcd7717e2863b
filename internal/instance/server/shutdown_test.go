package server_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caretaker-dev/caretaker/internal/instance/server"
)

func TestStopPlan(t *testing.T) {
	const (
		smart, fast, immediate = syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT
		s                      = time.Second
	)

	for name, c := range map[string]struct {
		smart, total time.Duration
		want         []server.Phase
	}{
		"usual":          {10 * s, 60 * s, []server.Phase{{smart, 10 * s}, {fast, 45 * s}, {immediate, 5 * s}}},
		"no smart":       {0, 60 * s, []server.Phase{{fast, 55 * s}, {immediate, 5 * s}}},
		"smart too long": {300 * s, 65 * s, []server.Phase{{smart, 30 * s}, {fast, 30 * s}, {immediate, 5 * s}}},
		"no time":        {10 * s, 3 * s, []server.Phase{{immediate, 3 * s}}},
		"none at all":    {10 * s, 0, []server.Phase{{immediate, 1 * s}}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, server.StopPlan(c.smart, c.total)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
