package build

import (
	"strings"

	v1 "github.com/caretaker-dev/caretaker/api/apps/v1"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

// ConnectionSecret is the Secret with a database's connection. Every kind of database has one of this name and with these
// keys.
func ConnectionSecret(ref v1.DatabaseReference) string { return naming.SecretApp(ref.Name) }

// DatabaseOf is the database that a Secret may be the connection of; empty if it cannot be one.
func DatabaseOf(secret string) string {
	name, found := strings.CutSuffix(secret, naming.SecretApp(""))
	if !found {
		return ""
	}

	return name
}

// ConnectionKeys are the keys that a connection Secret must have.
func ConnectionKeys() []string {
	keys := make([]string, 0, len(connectionEnv()))
	for _, e := range connectionEnv() {
		keys = append(keys, e[1])
	}

	return keys
}
