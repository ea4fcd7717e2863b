package postgres_test

import (
	"testing"

	"github.com/caretaker-dev/caretaker/internal/postgres"
)

func TestTargetTime(t *testing.T) {
	t.Parallel()

	for text, want := range map[string]string{
		"2024-01-15 14:30:00":              "2024-01-15 14:30:00+00",
		"2024-01-15T14:30:00Z":             "2024-01-15 14:30:00+00",
		"2024-01-15 14:30:00 UTC":          "2024-01-15 14:30:00+00",
		"2024-01-15 14:30:00UTC":           "2024-01-15 14:30:00+00",
		"2024-01-15 14:30:00+01":           "2024-01-15 13:30:00+00",
		"2024-07-15T14:30:00.123456+02:00": "2024-07-15 12:30:00.123456+00",
		"2024-07-15 14:30:00 -0330":        "2024-07-15 18:00:00+00",
		"2024-01-15 14:30":                 "2024-01-15 14:30:00+00",
		"2024-01-15":                       "2024-01-15 00:00:00+00",
	} {
		at, err := postgres.ParseTargetTime(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)

			continue
		}

		if got := postgres.FormatTargetTime(at); got != want {
			t.Errorf("%q is %s, want %s", text, got, want)
		}
	}

	for _, text := range []string{"", "yesterday", "2024-13-01 00:00:00", "14:30:00", "2024-01-15 25:00:00"} {
		if at, err := postgres.ParseTargetTime(text); err == nil {
			t.Errorf("%q was read as %s", text, at)
		}
	}
}
