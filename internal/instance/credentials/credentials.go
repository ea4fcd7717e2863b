// Package credentials reads the names and passwords that Secrets mount into the pod.
package credentials

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Login is a name with a password.
type Login struct {
	Username string
	Password string
}

// Read reads username and password from a folder; ok is false if there is no password.
func Read(dir string) (login Login, ok bool, err error) {
	password, err := read(filepath.Join(dir, "password"))
	if err != nil || password == "" {
		return Login{}, false, err
	}

	username, err := read(filepath.Join(dir, "username"))
	if err != nil {
		return Login{}, false, err
	}

	return Login{Username: username, Password: password}, true, nil
}

func read(path string) (string, error) {
	content, err := os.ReadFile(path) //nolint:gosec // our own path
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}

	if err != nil {
		return "", fmt.Errorf("read credentials: %w", err)
	}

	return string(content), nil
}
