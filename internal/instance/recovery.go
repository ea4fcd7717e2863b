package instance

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/caretaker-dev/caretaker/internal/archiveapi"
	"github.com/caretaker-dev/caretaker/internal/instance/provision"
	"github.com/caretaker-dev/caretaker/internal/instance/volume"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/pgconn"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

// replay is what the server that replays the archive is started with, and how far the archive goes.
type replay struct {
	settings []string
	reach    archiveapi.RestoreReach
}

// recover makes the data from a backup, not yet under their real name. It gives back how the server is to replay the archive. The
// command looks beforehand whether the archive leads to the target, and says what is missing if not.
func (b bootstrap) recover(ctx context.Context, in instanceapi.Recovery) (dir string, replays *replay, err error) {
	b.r.view.say(instanceapi.StateInitializing, "", "restoring a backup from "+in.Archive.URL+", folder "+in.Archive.Server)

	a := b.r.archiving
	// The archiver fetches WAL while the server replays.
	a.now()

	target, err := recoveryTarget(in.Target)
	if err != nil {
		return "", nil, fmt.Errorf("spec.bootstrap.recovery.recoveryTarget: %w", err)
	}

	from, err := a.target(in.Archive, "recovery")
	if err != nil {
		return "", nil, err
	}

	file, err := a.writeTarget("archive-recovery.json", from)
	if err != nil {
		return "", nil, err
	}

	if dir, err = b.recoveryDir(); err != nil {
		return "", nil, err
	}

	var done archiveapi.Restored
	if err := a.commandWith(ctx, file, &done, b.restoreProgress, restoreArgs(dir, in)...); err != nil {
		return "", nil, err
	}

	if err := b.learn(ctx, dir, "the backup "+done.Restored.Manifest.ID); err != nil {
		return "", nil, err
	}

	if err := errors.Join(b.signalRecovery(ctx, dir), b.r.layout.EmptySpool()); err != nil {
		return "", nil, err
	}

	target = target.Along(done.Reach.Named)
	if target.Timeline, err = b.reserveTimeline(dir, target.Timeline, done.Reach); err != nil {
		return "", nil, err
	}

	b.r.view.change(func(s *instanceapi.Status) { s.Recovered = &instanceapi.Recovered{BackupID: done.Restored.Manifest.ID} })
	b.r.view.say(instanceapi.StateInitializing, "", "replaying WAL up to "+target.String())

	return dir, &replay{b.r.recoverySettings(target), done.Reach}, nil
}

// recoveryDir is where the data are to be recovered: an empty folder, or the one that came with the volume.
func (b bootstrap) recoveryDir() (string, error) {
	if b.isOfSnapshot() {
		return volume.SnapshotData(b.r.layout.DataDir)
	}

	return volume.Begin(b.r.layout.DataDir)
}

// signalRecovery has the server recover. Data of a snapshot may have begun to: they have the signal from the command, which is put
// there once, and goes with the recovery's end.
func (b bootstrap) signalRecovery(ctx context.Context, dir string) error {
	signal := filepath.Join(dir, "recovery.signal")

	if !b.isOfSnapshot() {
		if err := provision.Disown(dir); err != nil {
			return err
		}

		return volume.WriteFile(signal, nil, 0o600)
	}

	if _, err := os.Stat(signal); err == nil {
		return provision.ForgetSettings(dir)
	}

	control, err := b.programs.ControlData(ctx, dir)
	if err != nil {
		return err
	}

	if !control.WasPrimary() {
		return errors.New("the recovery was cut off in the moment of its end, and whether these data are whole is not known: " +
			"delete the Cluster and its volume claims, and create it again")
	}

	b.r.log.Info("an earlier attempt has recovered these data")

	return provision.ForgetSettings(dir)
}

// reserveTimeline has the recovery end on a timeline that the archive has nothing of, where the record reserves one: the Cluster goes
// on archiving into the folder that it recovers from. It gives back the timeline to recover along, which is then a number: a server
// that looks for the latest one would take what reserves the others for it.
func (b bootstrap) reserveTimeline(dir, wanted string, reach archiveapi.RestoreReach) (string, error) {
	first := b.r.term.facts().Spec.Pending
	if first == nil || reach.Timeline == 0 {
		return wanted, nil
	}

	next := max(postgres.Timeline(first.Timeline), reach.Newest+1, reach.Timeline+1) //nolint:gosec // small
	b.r.log.Info("recovering in place", "along", reach.Timeline, "timeline", next)

	return strconv.FormatUint(uint64(reach.Timeline), 10), reserve(filepath.Join(dir, "pg_wal"), next)
}

func (b bootstrap) restoreProgress(line string) {
	p, ok := parseProgress(line)
	if !ok {
		b.r.archiving.log.Info(line)

		return
	}

	b.r.progress(p.Percent)
}

func restoreArgs(dir string, in instanceapi.Recovery) []string {
	args := []string{"restore", "--data-dir", dir, "--no-recovery"}

	add := func(flag, value string) {
		if value != "" {
			args = append(args, flag, value)
		}
	}

	if in.Snapshot {
		args = append(args, "--snapshot")
	}

	add("--backup", in.BackupID)
	add("--target-time", in.Target.Time)
	add("--target-lsn", in.Target.LSN)
	add("--target-xid", in.Target.XID)
	add("--target-name", in.Target.Name)
	add("--target-timeline", in.Target.Timeline)

	if in.Target.Immediate {
		args = append(args, "--target-immediate")
	}

	if in.Target.Exclusive {
		args = append(args, "--target-exclusive")
	}

	if in.Archive.DataParallel > 0 {
		args = append(args, "--workers", strconv.Itoa(in.Archive.DataParallel))
	}

	return args
}

func recoveryTarget(in instanceapi.RecoveryTarget) (archiveapi.RecoveryTarget, error) {
	target := archiveapi.RecoveryTarget{Name: in.Name, Immediate: in.Immediate, Exclusive: in.Exclusive, Timeline: in.Timeline}

	var err error

	if in.Time != "" {
		if target.Time, err = archiveapi.ParseTime(in.Time); err != nil {
			return target, err
		}
	}

	if in.LSN != "" {
		if target.LSN, err = postgres.ParseLSN(in.LSN); err != nil {
			return target, err
		}
	}

	if in.XID != "" {
		if target.XID, err = strconv.ParseUint(in.XID, 10, 64); err != nil {
			return target, fmt.Errorf("transaction %q: %w", in.XID, err)
		}
	}

	return target, target.Check()
}

// recoverySettings are for the one server that replays. It accepts nobody before it is promoted, so that it need not have the
// sizes of the server that it comes from. What it replays stays out of the new archive; what it writes afterwards is kept, and
// archived once the instance runs as ever.
func (r *runner) recoverySettings(target archiveapi.RecoveryTarget) []string {
	values := archiveapi.RecoverySettings(target, archiveapi.RestoreCommand(r.opts.WALHelper, r.layout.ArchiverSocket(), r.layout.SpoolDir()))
	maps.Copy(values, map[string]string{"hot_standby": "off", "archive_mode": "on"})

	settings := make([]string, 0, len(values))
	for _, name := range slices.Sorted(maps.Keys(values)) {
		settings = append(settings, name+"="+values[name])
	}

	return settings
}

// awaitRecovery waits for the server to have reached its target and to have been promoted. That takes as long as it takes; a
// server that cannot get there ends, and says why.
func (b bootstrap) awaitRecovery(ctx context.Context, reach archiveapi.RestoreReach) error {
	local := pgconn.Local(b.r.layout.OwnSocketDir(), b.r.layout.PostgresPort, postgres.Superuser)

	for {
		conn, err := pgconn.Connect(ctx, local)
		if err == nil {
			return b.noteRecovered(ctx, conn)
		}

		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !b.r.server.IsUp():
			return unreached(reach, b.r.server.LastWords())
		case isFinal(err):
			return err
		}

		select {
		case <-b.r.clock.After(recoveryWait):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// unreached names what is missing, where that may be why the server did not get there.
func unreached(reach archiveapi.RestoreReach, words string) error {
	missing := ""
	if reach.Gap != "" {
		missing = fmt.Sprintf(". WAL segment %s is not in the archive, and %s", reach.Gap, archiveapi.InsteadOfGap(reach.Behind, reach.LastArchived))
	}

	return fmt.Errorf("the recovery did not reach its target; PostgreSQL said: %s%s", words, missing)
}

func (b bootstrap) noteRecovered(ctx context.Context, conn *pgx.Conn) error {
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // only read from

	var lsn string
	if err := conn.QueryRow(ctx, "SELECT coalesce(pg_catalog.pg_last_wal_replay_lsn(), pg_catalog.pg_current_wal_lsn())::text").Scan(&lsn); err != nil {
		return fmt.Errorf("ask how far the recovery went: %w", err)
	}

	now := b.r.clock.Now().UTC().Truncate(time.Second)
	b.r.view.change(func(s *instanceapi.Status) {
		if s.Recovered != nil {
			reached := *s.Recovered
			reached.ReachedLSN, reached.At = lsn, &now
			s.Recovered = &reached
		}
	})
	b.r.log.Info("the recovery reached its target", "lsn", lsn)

	return nil
}
