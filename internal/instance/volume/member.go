package volume

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// memberFile in the state folder.
const memberFile = "member.json"

// Member is who lives on a volume. It is made with the volume and never changes.
type Member struct {
	// ID is 16 hexadecimal digits.
	ID string `json:"id"`
	// Created is when the volume was first used.
	Created time.Time `json:"created"`
}

// LoadMember reads the member; the zero Member if there is none.
func LoadMember(stateDir string) (Member, error) {
	path := filepath.Join(stateDir, memberFile)

	content, err := os.ReadFile(path) //nolint:gosec // our own path
	if errors.Is(err, os.ErrNotExist) {
		return Member{}, nil
	}

	if err != nil {
		return Member{}, fmt.Errorf("read the member ID: %w", err)
	}

	var member Member
	if err := json.Unmarshal(content, &member); err != nil || member.ID == "" {
		return Member{}, fmt.Errorf("%s is damaged (%w): delete the volume, so that the instance is made anew", path, err)
	}

	return member, nil
}

// EnsureMember is LoadMember, and makes a member on a volume that has none.
func EnsureMember(stateDir string, now time.Time) (Member, error) {
	member, err := LoadMember(stateDir)
	if err != nil || member.ID != "" {
		return member, err
	}

	return NewMember(stateDir, now)
}

// NewMember makes a member, in place of the one that there may be: the volume's data were given up.
func NewMember(stateDir string, now time.Time) (Member, error) {
	id := make([]byte, 8)
	if _, err := rand.Read(id); err != nil {
		return Member{}, fmt.Errorf("make a member ID: %w", err)
	}

	member := Member{ID: hex.EncodeToString(id), Created: now.UTC()}

	content, err := json.Marshal(member)
	if err != nil {
		return Member{}, fmt.Errorf("encode the member: %w", err)
	}

	return member, WriteFile(filepath.Join(stateDir, memberFile), content, 0o600)
}
