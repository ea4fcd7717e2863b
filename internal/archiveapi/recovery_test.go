package archiveapi

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseTime(t *testing.T) {
	for text, want := range map[string]string{
		"2026-11-28T23:32:19Z":      "2026-11-28T23:32:19Z",
		"2026-11-28 23:32:19":       "2026-11-28T23:32:19Z",
		"2026-11-28 23:32":          "2026-11-28T23:32:00Z",
		"2026-11-28":                "2026-11-28T00:00:00Z",
		"2026-11-28 23:32:19.5+01":  "2026-11-28T22:32:19.5Z",
		"2026-11-28T23:32:19-05:30": "2026-11-29T05:02:19Z",
		"2026-11-28 23:32:19 UTC":   "2026-11-28T23:32:19Z",
		"yesterday":                 "",
		"28.11.2026":                "",
	} {
		got, err := ParseTime(text)
		if want == "" {
			if err == nil {
				t.Errorf("%q is taken for %s", text, got)
			}

			continue
		}

		if err != nil || got.Format(time.RFC3339Nano) != want {
			t.Errorf("%q: %s, %v; want %s", text, got.Format(time.RFC3339Nano), err, want)
		}
	}
}

func TestRecoverySettings(t *testing.T) {
	for name, c := range map[string]struct {
		target RecoveryTarget
		want   map[string]string
	}{
		"time": {RecoveryTarget{Time: time.Date(2026, 11, 28, 3, 0, 0, 0, time.UTC).Add(1500 * time.Millisecond), Exclusive: true}, map[string]string{
			"recovery_target_time": "2026-11-28 03:00:01.5+00", "recovery_target_inclusive": "off", "recovery_target_timeline": "latest",
		}},
		"LSN": {RecoveryTarget{LSN: 0x16B374D848, Timeline: "3"}, map[string]string{
			"recovery_target_lsn": "16/B374D848", "recovery_target_inclusive": "on", "recovery_target_timeline": "3",
		}},
		"immediate": {RecoveryTarget{Immediate: true}, map[string]string{"recovery_target": "immediate"}},
		"end":       {RecoveryTarget{}, map[string]string{"recovery_target_action": "promote"}},
	} {
		got := RecoverySettings(c.target, "fetch %f %p")
		for key, value := range c.want {
			if got[key] != value {
				t.Errorf("%s: %s is %q, want %q", name, key, got[key], value)
			}
		}

		targets := 0
		for key := range got {
			if key == "recovery_target" || strings.HasPrefix(key, "recovery_target_") && !slices.Contains([]string{"action", "inclusive", "timeline"}, key[16:]) {
				targets++
			}
		}

		if isEnd := c.target.IsEnd(); isEnd && targets != 0 || !isEnd && targets != 1 {
			t.Errorf("%s: %d targets are set, PostgreSQL takes one", name, targets)
		}
	}
}
