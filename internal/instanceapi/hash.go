package instanceapi

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// Encode is the Config as it is stored and sent: the same Config always gives the same bytes.
func (c Config) Encode() ([]byte, error) {
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode instance configuration: %w", err)
	}

	return b, nil
}

// HashBytes is the hash of an encoded Config, as in Status.ConfigHash: 16 hexadecimal digits.
func HashBytes(encoded []byte) string {
	sum := sha256.Sum256(encoded)

	return hex.EncodeToString(sum[:8])
}
