package postgres

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
)

// RenderConf writes settings as the text of a postgresql.conf: sorted, one a line, each
// value quoted.
func RenderConf(settings map[string]string) string {
	var out strings.Builder
	out.WriteString("# Written by Caretaker; changes made here are lost.\n")
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		out.WriteString(name + " = " + quoteConf(settings[name]) + "\n")
	}
	return out.String()
}

// quoteConf quotes a value for postgresql.conf: quotes doubled, backslashes and line
// ends escaped, as GUC-file's lexer undoes them.
func quoteConf(value string) string {
	return "'" + strings.NewReplacer(`'`, `''`, `\`, `\\`, "\n", `\n`, "\r", `\r`).Replace(value) + "'"
}

// ConfHash is a short fingerprint of settings: equal for equal settings, whatever their
// order. It says whether a file must be written and the server reloaded.
func ConfHash(settings map[string]string) string {
	sum := sha256.Sum256([]byte(RenderConf(settings)))
	return hex.EncodeToString(sum[:8])
}
