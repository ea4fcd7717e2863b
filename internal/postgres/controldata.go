package postgres

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ControlData is what pg_controldata says of a data directory.
type ControlData struct {
	SystemIdentifier uint64
	// State is as printed: "in production", "shut down", "in archive recovery", …
	State string
	// Checkpoint and Redo are of the latest checkpoint; Timeline and PrevTimeline too.
	Checkpoint   LSN
	Redo         LSN
	Timeline     Timeline
	PrevTimeline Timeline
	// MinRecoveryEnd is how far a standby must replay before it is consistent; 0 on a primary.
	MinRecoveryEnd         LSN
	MinRecoveryEndTimeline Timeline
	// BackupStart and BackupEnd are set in a copy that is not consistent yet.
	BackupStart LSN
	BackupEnd   LSN

	WALSegmentBytes int64
	DataChecksums   bool
	WALLogHints     bool
	WALLevel        string
	// ControlVersion and CatalogVersion tell the major and its betas.
	ControlVersion int
	CatalogVersion int
	// Settings are the primary's values of the parameters that a standby must match, by
	// parameter name: StandbyFloor takes them.
	Settings map[string]string
}

// IsCleanShutdown says that the server ended in order: its last checkpoint is the end of its WAL.
func (c ControlData) IsCleanShutdown() bool {
	return c.State == "shut down" || c.State == "shut down in recovery"
}

// WasPrimary says that the directory was last written by a primary, not a standby.
func (c ControlData) WasPrimary() bool {
	switch c.State {
	case "shut down", "shutting down", "in production", "in crash recovery":
		return true
	default:
		return false
	}
}

// ParseControlData reads the output of pg_controldata, run with LC_ALL=C. Lines that it
// does not know are skipped; one that it needs and does not find is an error.
func ParseControlData(output string) (ControlData, error) {
	fields := map[string]string{}
	for line := range strings.Lines(output) {
		if key, value, ok := strings.Cut(line, ":"); ok {
			fields[strings.TrimSpace(key)] = strings.TrimSpace(value)
		}
	}
	p := controlParser{fields: fields}
	c := ControlData{
		SystemIdentifier:       p.number("Database system identifier"),
		State:                  p.text("Database cluster state"),
		Checkpoint:             p.lsn("Latest checkpoint location"),
		Redo:                   p.lsn("Latest checkpoint's REDO location"),
		Timeline:               Timeline(p.number("Latest checkpoint's TimeLineID")),     //nolint:gosec // a timeline has 32 bits
		PrevTimeline:           Timeline(p.number("Latest checkpoint's PrevTimeLineID")), //nolint:gosec // a timeline has 32 bits
		MinRecoveryEnd:         p.lsn("Minimum recovery ending location"),
		MinRecoveryEndTimeline: Timeline(p.number("Min recovery ending loc's timeline")), //nolint:gosec // a timeline has 32 bits
		BackupStart:            p.lsn("Backup start location"),
		BackupEnd:              p.lsn("Backup end location"),
		WALSegmentBytes:        int64(p.number("Bytes per WAL segment")), //nolint:gosec // at most 1 GiB
		// 2 and 3, from PostgreSQL 19 on, are checksums being switched on or off.
		DataChecksums:  p.number("Data page checksum version") == 1,
		WALLogHints:    p.text("wal_log_hints setting") == "on",
		WALLevel:       p.text("wal_level setting"),
		ControlVersion: int(p.number("pg_control version number")), //nolint:gosec // a small number
		CatalogVersion: int(p.number("Catalog version number")),    //nolint:gosec // a date
		Settings: map[string]string{
			"max_connections":           p.text("max_connections setting"),
			"max_worker_processes":      p.text("max_worker_processes setting"),
			"max_wal_senders":           p.text("max_wal_senders setting"),
			"max_prepared_transactions": p.text("max_prepared_xacts setting"),
			"max_locks_per_transaction": p.text("max_locks_per_xact setting"),
		},
	}
	if len(p.errs) > 0 {
		return ControlData{}, fmt.Errorf("output of pg_controldata (run it with LC_ALL=C): %w", errors.Join(p.errs...))
	}
	return c, nil
}

// controlParser collects what is wrong, so that fields read in a row.
type controlParser struct {
	fields map[string]string
	errs   []error
}

func (p *controlParser) text(key string) string {
	value, ok := p.fields[key]
	if !ok {
		p.errs = append(p.errs, fmt.Errorf("no line %q", key))
	}
	return value
}

func (p *controlParser) number(key string) uint64 {
	text := p.text(key)
	value, err := strconv.ParseUint(text, 10, 64)
	if err != nil && text != "" {
		p.errs = append(p.errs, fmt.Errorf("%s: %q is not a number", key, text))
	}
	return value
}

func (p *controlParser) lsn(key string) LSN {
	text := p.text(key)
	value, err := ParseLSN(text)
	if err != nil && text != "" {
		p.errs = append(p.errs, fmt.Errorf("%s: %w", key, err))
	}
	return value
}
