package host

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// RaiseLimits raises kernel limits that are too low for several nodes on one machine.
// They stay raised: nobody can tell who else relies on them by then.
func RaiseLimits() error {
	for file, least := range map[string]int{
		"fs/inotify/max_user_instances": 8192,
		"fs/inotify/max_user_watches":   524288,
	} {
		path := "/proc/sys/" + file
		content, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("kernel limits: %w", err)
		}
		if value, err := strconv.Atoi(strings.TrimSpace(string(content))); err == nil && value >= least {
			continue
		}
		if err := os.WriteFile(path, []byte(strconv.Itoa(least)), 0o600); err != nil {
			return fmt.Errorf("kernel limits: %w", err)
		}
	}
	return nil
}
