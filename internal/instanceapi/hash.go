package instanceapi

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// Encode is the Config as it is stored and sent: the same Config always gives the same bytes.
func (c Config) Encode() ([]byte, error) {
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode instance configuration: %w", err)
	}

	return b, nil
}

// HashPasswords is the hash of roles' passwords, an empty one for none, as in Status.PasswordsHash: 16 hexadecimal digits.
// Who may ask for a Status holds a certificate that may copy the whole database; nobody else gets to see it.
func HashPasswords(byRole map[string]string) string {
	hash := sha256.New()
	for _, role := range slices.Sorted(maps.Keys(byRole)) {
		_, _ = fmt.Fprintf(hash, "%q %q\n", role, byRole[role])
	}

	return hex.EncodeToString(hash.Sum(nil)[:8])
}

// HashBytes is the hash of an encoded Config, as in Status.ConfigHash: 16 hexadecimal digits.
func HashBytes(encoded []byte) string {
	sum := sha256.Sum256(encoded)

	return hex.EncodeToString(sum[:8])
}
