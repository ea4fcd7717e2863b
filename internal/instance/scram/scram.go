// Package scram makes and checks PostgreSQL's SCRAM-SHA-256 verifiers, the form in which a server stores a password.
//
// PID 1 sends a verifier, never the password: a statement may end up in the server's log. It does so only when the
// stored one does not fit, since each change is a write to the WAL.
package scram

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/text/secure/precis"
)

const (
	prefix     = "SCRAM-SHA-256$"
	iterations = 4096
	saltBytes  = 16
)

// Verifier makes a verifier with a random salt.
func Verifier(password string) (string, error) {
	salt := make([]byte, saltBytes)
	if _, err := rand.Read(salt); err != nil {
		return "", fmt.Errorf("make a salt: %w", err)
	}

	stored, server, err := keys(password, salt, iterations)
	if err != nil {
		return "", err
	}

	encode := base64.StdEncoding.EncodeToString

	return fmt.Sprintf("%s%d:%s$%s:%s", prefix, iterations, encode(salt), encode(stored), encode(server)), nil
}

// Matches says whether a stored verifier is the password's. Anything that is no SCRAM-SHA-256 verifier is not.
func Matches(verifier, password string) bool {
	rest, ok := strings.CutPrefix(verifier, prefix)
	if !ok {
		return false
	}

	head, tail, ok := strings.Cut(rest, "$")
	if !ok {
		return false
	}

	count, salt64, ok := strings.Cut(head, ":")
	if !ok {
		return false
	}

	n, err := strconv.Atoi(count)
	if err != nil || n < 1 {
		return false
	}

	salt, err := base64.StdEncoding.DecodeString(salt64)
	if err != nil {
		return false
	}

	stored, server, err := keys(password, salt, n)
	if err != nil {
		return false
	}

	encode := base64.StdEncoding.EncodeToString
	want := encode(stored) + ":" + encode(server)

	return subtle.ConstantTimeCompare([]byte(want), []byte(tail)) == 1
}

// keys are StoredKey and ServerKey of RFC 5802, section 3.
func keys(password string, salt []byte, count int) (stored, server []byte, err error) {
	salted, err := pbkdf2.Key(sha256.New, prepare(password), salt, count, sha256.Size)
	if err != nil {
		return nil, nil, fmt.Errorf("derive the key of a password: %w", err)
	}

	client := sha256.Sum256(mac(salted, "Client Key"))

	return client[:], mac(salted, "Server Key"), nil
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))

	return h.Sum(nil)
}

// prepare normalizes a password as servers and drivers do; one that cannot be is taken as it is.
func prepare(password string) string {
	prepared, err := precis.OpaqueString.String(password)
	if err != nil {
		return password
	}

	return prepared
}
