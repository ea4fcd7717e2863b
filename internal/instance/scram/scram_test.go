package scram_test

import (
	"strings"
	"testing"

	"github.com/caretaker-dev/caretaker/internal/instance/scram"
)

func TestMatches(t *testing.T) {
	// Made by PostgreSQL 15: CREATE ROLE … PASSWORD 'pencil'.
	const server = "SCRAM-SHA-256$4096:+hZlJbnt5/ef9evZeyJPFQ==$XF05n0ZJPfwRL9l5/EQ+pGnVL9VRLqf9w8qf/gtAZdM=:5ZrKt2nYICYLnMtRdFfEcGkCVeZQ4e5vrK9rSKr4wxk="

	for name, c := range map[string]struct {
		verifier, password string
		want               bool
	}{
		"PostgreSQL's own":   {server, "pencil", true},
		"another password":   {server, "Pencil", false},
		"empty password":     {server, "", false},
		"md5":                {"md5a6c1c0ae9c1ab44ee4b5e13b2ae0d3a8", "pencil", false},
		"nothing":            {"", "", false},
		"no salt":            {"SCRAM-SHA-256$4096$a:b", "pencil", false},
		"no iterations":      {strings.Replace(server, "4096", "0", 1), "pencil", false},
		"salt is no base64":  {"SCRAM-SHA-256$4096:!!$a:b", "pencil", false},
		"server key differs": {server[:len(server)-2] + "A=", "pencil", false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := scram.Matches(c.verifier, c.password); got != c.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestVerifier(t *testing.T) {
	for _, password := range []string{"pencil", "", "with ' quote", "pässwörd", "\u00a0space", string([]byte{0xff, 0xfe})} {
		first, err := scram.Verifier(password)
		if err != nil {
			t.Fatal(err)
		}

		second, err := scram.Verifier(password)
		if err != nil {
			t.Fatal(err)
		}

		if !scram.Matches(first, password) || scram.Matches(first, password+"x") {
			t.Errorf("%q: the verifier does not tell its password", password)
		}

		if first == second {
			t.Errorf("%q: two verifiers share a salt", password)
		}

		if password != "" && strings.Contains(first, password) {
			t.Errorf("the verifier %q holds the password", first)
		}
	}
}
