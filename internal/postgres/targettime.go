package postgres

import (
	"fmt"
	"strings"
	"time"
)

// ParseTargetTime reads a moment to recover to, such as "2024-01-15 14:30:00" or "2024-01-15T14:30:00.5+01:00". Without a
// zone it is UTC: the time zone of a server that is still to be restored is no good guess.
func ParseTargetTime(text string) (time.Time, error) {
	text = strings.TrimSpace(text)
	text = strings.TrimSuffix(strings.TrimSuffix(text, "UTC"), " ")
	text = strings.Replace(text, "T", " ", 1)

	for _, form := range []string{"2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02"} {
		for _, zone := range []string{"", "Z07:00", " Z07:00", "Z0700", " Z0700", "Z07", " Z07"} {
			if at, err := time.Parse(form+zone, text); err == nil {
				return at.UTC(), nil
			}
		}
	}

	return time.Time{}, fmt.Errorf("%q is not a date and time such as 2024-01-15 14:30:00 (UTC) or 2024-01-15 14:30:00+01", text)
}

// FormatTargetTime writes a moment as recovery_target_time takes it, with its zone.
func FormatTargetTime(at time.Time) string {
	return at.UTC().Format("2006-01-02 15:04:05.999999-07")
}
