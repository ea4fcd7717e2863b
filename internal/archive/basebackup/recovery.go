package basebackup

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// WriteRecovery makes a restored data directory recover to a target when it is started: recovery.signal, and the settings at
// the end of postgresql.auto.conf, where they win. For servers that nobody else configures.
func WriteRecovery(dataDir string, settings map[string]string) error {
	names := make([]string, 0, len(settings))
	for name := range settings {
		names = append(names, name)
	}

	slices.Sort(names)

	var out strings.Builder

	out.WriteString("\n# Recovery from a backup\n")

	for _, name := range names {
		fmt.Fprintf(&out, "%s = '%s'\n", name, strings.ReplaceAll(settings[name], "'", "''"))
	}

	t := &tree{root: dataDir}
	if err := t.findOwner(); err != nil {
		return err
	}

	conf := filepath.Join(dataDir, "postgresql.auto.conf")

	before, err := os.ReadFile(conf) //nolint:gosec // the user's own directory
	if err != nil && !os.IsNotExist(err) {
		return err
	}

	if err := t.write("postgresql.auto.conf", []byte(RemoveTargets(string(before))+out.String())); err != nil {
		return err
	}

	return t.write("recovery.signal", nil)
}

// RemoveTargets takes the settings of RecoverySettings out of a configuration file: those of an earlier recovery would get
// in this one's way.
func RemoveTargets(conf string) string {
	var out strings.Builder

	for line := range strings.Lines(conf) {
		name := strings.ToLower(strings.TrimSpace(line))
		if strings.HasPrefix(name, "recovery_target") || strings.HasPrefix(name, "restore_command") {
			continue
		}

		out.WriteString(line)
	}

	return out.String()
}
