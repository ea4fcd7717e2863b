package instance

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/caretaker-dev/caretaker/internal/instance/layout"
	"github.com/caretaker-dev/caretaker/internal/instance/serverconf"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
)

// TestConfigurationAfterARestart: the kubelet renews the mount late, and not always with the last Config. A PID 1 that
// starts goes on with the newest.
func TestConfigurationAfterARestart(t *testing.T) {
	t.Parallel()

	encoded := func(memory string) []byte {
		return fmt.Appendf(nil, `{"cluster":"db","bootstrap":{"initdb":{}},"parameters":{"work_mem":%q}}`, memory)
	}

	for name, tc := range map[string]struct {
		put           []string
		mounted, want string
	}{
		"nothing was put":                             {mounted: "1MB", want: "1MB"},
		"the mount is as before":                      {put: []string{"2MB"}, mounted: "1MB", want: "2MB"},
		"the mount is behind by one":                  {put: []string{"2MB", "3MB"}, mounted: "2MB", want: "3MB"},
		"the mount is as before, by two":              {put: []string{"2MB", "3MB"}, mounted: "1MB", want: "3MB"},
		"the mount has what was put":                  {put: []string{"2MB", "3MB"}, mounted: "3MB", want: "3MB"},
		"the mount is newer":                          {put: []string{"2MB", "3MB"}, mounted: "4MB", want: "4MB"},
		"there and back, and the mount is in between": {put: []string{"2MB", "1MB"}, mounted: "2MB", want: "1MB"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			l := layout.Layout{ConfigDir: t.TempDir(), StateDir: t.TempDir()}
			mount := func(memory string) {
				if err := os.WriteFile(filepath.Join(l.ConfigDir, instanceapi.ConfigKey), encoded(memory), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			start := func() *configuration {
				c := newConfiguration(serverconf.Input{Layout: l}, nil)
				if err := c.Load(); err != nil {
					t.Fatal(err)
				}

				return c
			}

			mount("1MB")

			for _, memory := range tc.put {
				c := start() // it restarts in between, too
				old := c.Hash()

				if err := c.take(encoded(memory)); err != nil {
					t.Fatal(err)
				}

				c.outdate(old)

				if err := c.save(encoded(memory)); err != nil {
					t.Fatal(err)
				}
			}

			mount(tc.mounted)

			if got := start().Config().Parameters["work_mem"]; got != tc.want {
				t.Errorf("goes on with %s, want %s", got, tc.want)
			}
		})
	}
}
