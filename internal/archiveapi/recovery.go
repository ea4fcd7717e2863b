package archiveapi

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/caretaker-dev/caretaker/internal/postgres"
)

// RecoveryTarget is where a recovery is to end. At most one of Time, LSN, XID, Name and Immediate is set; none: at the end of the WAL.
type RecoveryTarget struct {
	Time time.Time    `json:"time,omitzero"`
	LSN  postgres.LSN `json:"lsn,omitempty"`
	XID  uint64       `json:"xid,omitempty"`
	Name string       `json:"name,omitempty"`
	// Immediate ends it as soon as the data are consistent: at the backup's end.
	Immediate bool `json:"immediate,omitempty"`
	// Exclusive ends it just before the target instead of just after it.
	Exclusive bool `json:"exclusive,omitempty"`
	// Timeline is "latest" (the default), "current" (the backup's) or a number.
	Timeline string `json:"timeline,omitempty"`
}

// ParseTime reads a target time. Without a zone it is UTC.
func ParseTime(text string) (time.Time, error) {
	text = strings.TrimSpace(text)

	for _, zone := range []string{"Z07:00", " Z07:00", "-0700", "-07", ""} {
		for _, form := range []string{"2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02"} {
			if at, err := time.Parse(form+zone, text); err == nil {
				return at.UTC(), nil
			}
		}
	}

	if name, ok := strings.CutSuffix(text, "UTC"); ok {
		return ParseTime(name)
	}

	return time.Time{}, fmt.Errorf("%q is no time: want one like 2026-11-28T23:32:19Z or 2026-11-28 23:32:19.5+01:00; without a zone it is UTC", text)
}

// Check says what is wrong with a target.
func (t RecoveryTarget) Check() error {
	count := 0
	for _, isSet := range []bool{!t.Time.IsZero(), t.LSN != 0, t.XID != 0, t.Name != "", t.Immediate} {
		if isSet {
			count++
		}
	}

	if count > 1 {
		return errors.New("a recovery has one target: give one of time, LSN, XID, name and immediate")
	}

	if t.Exclusive && (t.Name != "" || t.Immediate || count == 0) {
		return errors.New("exclusive goes with a target time, LSN or XID")
	}

	if len(t.Name) >= 64 {
		return fmt.Errorf("restore point %q is longer than PostgreSQL's 63 bytes", t.Name)
	}

	switch t.Timeline {
	case "", "latest", "current":
		return nil
	}

	if n, err := strconv.ParseUint(t.Timeline, 10, 32); err != nil || n == 0 {
		return fmt.Errorf("timeline %q: want latest, current or a number", t.Timeline)
	}

	return nil
}

// IsEnd says that the recovery goes on to the end of the WAL.
func (t RecoveryTarget) IsEnd() bool {
	return t.Time.IsZero() && t.LSN == 0 && t.XID == 0 && t.Name == "" && !t.Immediate
}

// String says the target in words; times with their zone.
func (t RecoveryTarget) String() string {
	words := "the end of the WAL"
	side := "just after "

	if t.Exclusive {
		side = "just before "
	}

	switch {
	case !t.Time.IsZero():
		words = side + t.Time.UTC().Format("2006-01-02 15:04:05.999999") + " UTC"
	case t.LSN != 0:
		words = side + "LSN " + t.LSN.String()
	case t.XID != 0:
		words = side + "transaction " + strconv.FormatUint(t.XID, 10)
	case t.Name != "":
		words = "restore point " + strconv.Quote(t.Name)
	case t.Immediate:
		words = "the end of the backup"
	}

	switch t.Timeline {
	case "", "latest":
		return words
	case "current":
		return words + " on the backup's timeline"
	default:
		return words + " on timeline " + t.Timeline
	}
}

// Along is the target with its timeline by number, where that is not 0 and none was asked for: PostgreSQL looks for the latest one by
// the next number until there is none, and would stop at a gap.
func (t RecoveryTarget) Along(named postgres.Timeline) RecoveryTarget {
	if named != 0 && (t.Timeline == "" || t.Timeline == "latest") {
		t.Timeline = strconv.FormatUint(uint64(named), 10)
	}

	return t
}

// RecoverySettings are what the restored server must be started with, beside recovery.signal in its data directory.
//
// PostgreSQL promotes at the target, and stops with an error if the WAL ends before it: nothing is promoted short of a target.
// It also refuses to start if another target is set anywhere, even to nothing: see basebackup.RemoveTargets.
func RecoverySettings(t RecoveryTarget, restoreCommand string) map[string]string {
	settings := map[string]string{
		"restore_command":          restoreCommand,
		"recovery_target_timeline": "latest",
		"recovery_target_action":   "promote",
	}

	if t.Timeline != "" {
		settings["recovery_target_timeline"] = t.Timeline
	}

	if t.Exclusive {
		settings["recovery_target_inclusive"] = "off"
	} else {
		settings["recovery_target_inclusive"] = "on"
	}

	switch {
	case !t.Time.IsZero():
		settings["recovery_target_time"] = t.Time.UTC().Format("2006-01-02 15:04:05.999999") + "+00"
	case t.LSN != 0:
		settings["recovery_target_lsn"] = t.LSN.String()
	case t.XID != 0:
		settings["recovery_target_xid"] = strconv.FormatUint(t.XID&math.MaxUint32, 10)
	case t.Name != "":
		settings["recovery_target_name"] = t.Name
	case t.Immediate:
		settings["recovery_target"] = "immediate"
	}

	return settings
}
