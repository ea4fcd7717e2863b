package basebackup

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/postgres"
)

// server is what a backup must know of the server that it is taken from.
type server struct {
	systemIdentifier string
	version          postgres.Version
	versionText      string
	dataDir          string
	inRecovery       bool
	checksums        bool
	blockBytes       int
	segBlocks        int64
	walSegmentBytes  int64
	summarizesWAL    bool
	timeline         postgres.Timeline
}

// database is what a backup asks of the server.
type database interface {
	// ask the server about itself.
	ask(ctx context.Context) (server, error)
	// begin puts it into backup mode, and says from where on a restore must replay WAL.
	begin(ctx context.Context, label string, fast bool) (postgres.LSN, error)
	// end the mode.
	end(ctx context.Context) (stopped, error)
	// timeline that the last checkpoint was made on.
	timeline(ctx context.Context) (postgres.Timeline, error)
	// changes that WAL summaries tell of.
	changes(ctx context.Context, ranges []walRange) (changes, error)
}

// session is a connection; the backup mode ends with it.
type session struct {
	conn   *pgx.Conn
	clock  clock.Clock
	server server
}

func (s *session) ask(ctx context.Context) (server, error) {
	var err error
	s.server, err = askServer(ctx, s.conn)

	return s.server, err
}

func (s *session) changes(ctx context.Context, ranges []walRange) (changes, error) {
	return readChanges(ctx, s.conn, s.clock, ranges)
}

func (s *session) timeline(ctx context.Context) (postgres.Timeline, error) {
	var timeline int64
	if err := s.conn.QueryRow(ctx, "SELECT timeline_id FROM pg_control_checkpoint()").Scan(&timeline); err != nil {
		return 0, fmt.Errorf("ask the server for its timeline: %w", err)
	}

	return postgres.Timeline(timeline), nil //nolint:gosec // a timeline has 32 bits
}

func askServer(ctx context.Context, conn *pgx.Conn) (server, error) {
	const query = `
SELECT (SELECT system_identifier::text FROM pg_control_system()), current_setting('server_version_num'),
       current_setting('server_version'), current_setting('data_directory'), pg_is_in_recovery(),
       current_setting('data_checksums') = 'on', current_setting('block_size')::int,
       (SELECT setting::bigint FROM pg_settings WHERE name = 'segment_size'),
       (SELECT setting::bigint FROM pg_settings WHERE name = 'wal_segment_size'),
       coalesce(current_setting('summarize_wal', true), 'off') = 'on',
       (SELECT greatest(timeline_id, (SELECT min_recovery_end_timeline FROM pg_control_recovery())) FROM pg_control_checkpoint())`

	var (
		s        server
		number   string
		timeline int64
	)

	err := conn.QueryRow(ctx, query).Scan(&s.systemIdentifier, &number, &s.versionText, &s.dataDir, &s.inRecovery, &s.checksums,
		&s.blockBytes, &s.segBlocks, &s.walSegmentBytes, &s.summarizesWAL, &timeline)
	if err != nil {
		return s, fmt.Errorf("ask the server about itself: %w", err)
	}

	s.timeline = postgres.Timeline(timeline) //nolint:gosec // a timeline has 32 bits

	if s.version, err = postgres.ParseVersion(number); err != nil {
		return s, err
	}

	return s, postgres.Supported(s.version.Major)
}

func (s *session) begin(ctx context.Context, label string, fast bool) (postgres.LSN, error) {
	query := "SELECT pg_backup_start($1, $2)::text"
	if s.server.version.Major < 15 {
		query = "SELECT pg_start_backup($1, $2, false)::text"
	}

	var text string
	if err := s.conn.QueryRow(ctx, query, label, fast).Scan(&text); err != nil {
		return 0, fmt.Errorf("begin the backup: %w", err)
	}

	return postgres.ParseLSN(text)
}

// stopped is what the server says at a backup's end.
type stopped struct {
	lsn           postgres.LSN
	label         string
	time          time.Time
	nextXID       uint64
	timeline      postgres.Timeline
	startTimeline postgres.Timeline
	history       string
}

func (s *session) end(ctx context.Context) (stopped, error) {
	query := "SELECT lsn::text, labelfile FROM pg_backup_stop(wait_for_archive => false)"
	if s.server.version.Major < 15 {
		query = "SELECT lsn::text, labelfile FROM pg_stop_backup(false, false)"
	}

	var (
		out  stopped
		text string
	)

	if err := s.conn.QueryRow(ctx, query).Scan(&text, &out.label); err != nil {
		return out, fmt.Errorf("end the backup: %w", err)
	}

	var err error
	if out.lsn, err = postgres.ParseLSN(text); err != nil {
		return out, err
	}

	if out.startTimeline, err = labelTimeline(out.label); err != nil {
		return out, err
	}

	if err := s.after(ctx, &out); err != nil {
		return out, fmt.Errorf("ask the server where the backup ended: %w", err)
	}

	out.history, err = readHistory(s.server.dataDir, out.timeline)

	return out, err
}

// after asks for what was true at the latest when the backup had ended.
func (s *session) after(ctx context.Context, out *stopped) error {
	const query = `
SELECT clock_timestamp(), pg_snapshot_xmax(pg_current_snapshot())::text,
       CASE WHEN pg_is_in_recovery()
            THEN (SELECT min_recovery_end_timeline FROM pg_control_recovery())
            ELSE (SELECT timeline_id FROM pg_control_checkpoint()) END`

	var (
		xid      string
		timeline int64
	)

	if err := s.conn.QueryRow(ctx, query).Scan(&out.time, &xid, &timeline); err != nil {
		return err
	}

	var err error
	if out.nextXID, err = strconv.ParseUint(xid, 10, 64); err != nil {
		return err
	}

	out.time = out.time.UTC()
	// A standby that has replayed nothing since its last checkpoint knows no end of recovery.
	out.timeline = max(postgres.Timeline(timeline), out.startTimeline) //nolint:gosec // a timeline has 32 bits

	return nil
}

var startTimelineLine = regexp.MustCompile(`(?m)^START TIMELINE: (\d+)$`)

func labelTimeline(label string) (postgres.Timeline, error) {
	match := startTimelineLine.FindStringSubmatch(label)
	if match == nil {
		return 0, fmt.Errorf("the server's backup_label has no START TIMELINE: %q", label)
	}

	n, err := strconv.ParseUint(match[1], 10, 32)

	return postgres.Timeline(n), err
}

func readHistory(dataDir string, timeline postgres.Timeline) (string, error) {
	if timeline <= 1 {
		return "", nil
	}

	text, err := os.ReadFile(filepath.Join(dataDir, "pg_wal", postgres.HistoryName(timeline))) //nolint:gosec // the server's own directory
	if err != nil {
		return "", fmt.Errorf("read the history of timeline %d: %w", timeline, err)
	}

	_, err = postgres.ParseHistory(timeline, string(text))

	return string(text), err
}
