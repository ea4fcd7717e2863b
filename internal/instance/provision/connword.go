package provision

import "strings"

// ConnWord is one keyword of a libpq connection string.
func ConnWord(key, value string) string {
	return key + "='" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value) + "'"
}
