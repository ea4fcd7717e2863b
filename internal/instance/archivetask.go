package instance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/caretaker-dev/caretaker/internal/archiveapi"
	"github.com/caretaker-dev/caretaker/internal/instance/process"
	"github.com/caretaker-dev/caretaker/internal/instance/volume"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

const (
	sigTerm = syscall.SIGTERM
	sigKill = syscall.SIGKILL
	sigQuit = syscall.SIGQUIT
)

// Archive takes the order of a task. The same request again is the same task.
func (r *runner) Archive(request instanceapi.ArchiveRequest) error {
	switch request.Task {
	case instanceapi.TaskSwitch:
		return r.archiving.switchWAL(request.Request)
	case instanceapi.TaskSnapshotTaken:
		return r.archiving.snapshotTaken(request.Request)
	case instanceapi.TaskBackup, instanceapi.TaskSnapshot, instanceapi.TaskDelete:
		fallthrough
	default:
		return r.archiving.begin(request)
	}
}

// snapshotFile is what the backup in progress waits for.
func (a *archiving) snapshotFile() string { return filepath.Join(a.r.layout.RunDir, "snapshot-taken") }

// snapshotTaken has a backup go on.
func (a *archiving) snapshotTaken(request string) error {
	a.mu.Lock()
	defer a.mu.Unlock()

	if a.task == nil || a.task.Request != request || a.task.Task != instanceapi.TaskSnapshot {
		return fmt.Errorf("no snapshot is waited for by %s", request)
	}

	return volume.WriteFile(a.snapshotFile(), []byte(request), 0o600)
}

func (a *archiving) begin(request instanceapi.ArchiveRequest) error {
	config := a.r.conf.Config().Archive
	if config == nil {
		return errNoArchive
	}

	if request.Task != instanceapi.TaskDelete && !a.r.serves() {
		return errors.New("PostgreSQL is not running")
	}

	a.mu.Lock()
	defer a.mu.Unlock()

	switch {
	case a.work == nil || a.work.Err() != nil:
		return errors.New("this instance is starting or stopping")
	case a.task != nil && a.task.Request == request.Request:
		return nil
	case a.task != nil && a.task.EndedAt == nil:
		return fmt.Errorf("another task with the archive runs: %s", a.task.Request)
	}

	// The word for an earlier one is none for this.
	if err := os.Remove(a.snapshotFile()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("forget an earlier snapshot: %w", err)
	}

	a.task = &instanceapi.ArchiveRun{
		Request: request.Request, Task: request.Task, BackupID: request.BackupID, StartedAt: a.r.clock.Now().UTC(),
	}

	go a.carryOut(a.work, request, *config)

	return nil
}

// carryOut does a task in processes of their own.
func (a *archiving) carryOut(ctx context.Context, request instanceapi.ArchiveRequest, config instanceapi.Archive) {
	a.log.Info("a task with the archive begins", "task", request.Task, "request", request.Request)

	file, err := a.targetFile(config)
	if err == nil {
		switch request.Task {
		case instanceapi.TaskBackup, instanceapi.TaskSnapshot:
			err = a.backup(ctx, file, request, config)
		case instanceapi.TaskDelete:
			err = a.delete(ctx, file, request.BackupID)
		case instanceapi.TaskSwitch, instanceapi.TaskSnapshotTaken: // They do not come here: they run beside others.
			fallthrough
		default:
			err = fmt.Errorf("no task is called %q", request.Task)
		}
	}

	if err != nil {
		a.log.Error("a task with the archive failed", "task", request.Task, "error", err)
	} else {
		a.log.Info("a task with the archive is done", "task", request.Task)
	}

	a.change(func(run *instanceapi.ArchiveRun) {
		now := a.r.clock.Now().UTC()
		run.EndedAt, run.Progress = &now, nil

		if err != nil {
			run.Error = err.Error()
		}
	})
}

// targetFile has the archive in the form that the commands read.
func (a *archiving) targetFile(config instanceapi.Archive) (string, error) {
	target, err := a.target(config, "own")
	if err != nil {
		return "", err
	}

	target.Compression = config.DataCompression

	return a.writeTarget("archive-own.json", target)
}

func (a *archiving) writeTarget(name string, target any) (string, error) {
	content, err := json.MarshalIndent(target, "", "  ")
	if err != nil {
		return "", fmt.Errorf("encode the archive's configuration: %w", err)
	}

	file := filepath.Join(a.r.layout.RunDir, name)

	return file, volume.WriteFile(file, content, 0o600)
}

func (a *archiving) backup(ctx context.Context, file string, request instanceapi.ArchiveRequest, config instanceapi.Archive) error {
	l := a.r.layout
	args := []string{
		"backup", "--socket-dir", l.OwnSocketDir(), "--port", strconv.Itoa(l.PostgresPort), "--user", postgres.Superuser,
		"--data-dir", l.DataDir, "--label", request.BackupID, "--fast=" + strconv.FormatBool(request.FastCheckpoint),
	}

	if config.DataParallel > 0 {
		args = append(args, "--workers", strconv.Itoa(config.DataParallel))
	}

	if request.Task == instanceapi.TaskSnapshot {
		args = append(args, "--snapshot", a.snapshotFile())
	}

	var backup archiveapi.Backup
	if err := a.command(ctx, file, &backup, args...); err != nil {
		return err
	}

	taken := describe(backup)
	a.change(func(run *instanceapi.ArchiveRun) { run.BackupID, run.Backup = taken.ID, &taken })

	if err := a.command(ctx, file, nil, "verify", taken.ID); err != nil {
		return fmt.Errorf("the backup %s was taken, but what was stored cannot be restored: %w", taken.ID, err)
	}

	a.change(func(run *instanceapi.ArchiveRun) { run.Backup.Verified = true })

	if config.Retention != "" {
		run := a.retain(ctx, file, request.Known, config)
		a.change(func(task *instanceapi.ArchiveRun) { task.Retention = &run })
	}

	return nil
}

// retain follows the retention. A backup is no worse for old ones that could not be deleted.
func (a *archiving) retain(ctx context.Context, file string, known []string, config instanceapi.Archive) instanceapi.RetentionRun {
	run := instanceapi.RetentionRun{Policy: config.Retention, URL: config.URL, Server: config.Server}

	var expiry archiveapi.Expiry

	err := a.command(ctx, file, &expiry, "expire", "--keep", config.Retention)
	if err == nil && len(expiry.Left) == 0 {
		// The newest one always is.
		err = errors.New("expire does not say which backups are left")
	}

	if err != nil {
		a.log.Error("old backups could not be deleted", "error", err)
		run.Error = err.Error()
	} else {
		run.Gone = slices.DeleteFunc(slices.Clone(known), func(id string) bool { return slices.Contains(expiry.Left, id) })
	}

	run.At = a.r.clock.Now().UTC()

	return run
}

func describe(b archiveapi.Backup) instanceapi.TakenBackup {
	segment := func(timeline postgres.Timeline, lsn postgres.LSN) string {
		return postgres.SegmentAt(timeline, lsn, b.WALSegmentBytes).Name(b.WALSegmentBytes)
	}

	return instanceapi.TakenBackup{
		ID: b.ID, Parent: b.Parent, BeginLSN: b.StartLSN.String(), EndLSN: b.StopLSN.String(),
		BeginWAL: segment(b.StartTimeline, b.StartLSN), EndWAL: segment(b.Timeline, b.StopLSN-1),
		Timeline: int64(b.Timeline), SystemID: b.SystemIdentifier, Major: b.Major,
		StoredBytes: b.StoredBytes, DataBytes: b.DataBytes, StartedAt: b.Started, StoppedAt: b.Completed,
	}
}

func (a *archiving) delete(ctx context.Context, file, id string) error {
	return a.command(ctx, file, nil, "backups", "delete", id)
}

// command runs one of caretaker-archive's commands to its end; what it prints as its result goes into result unless that is nil.
func (a *archiving) command(ctx context.Context, file string, result any, args ...string) error {
	return a.commandWith(ctx, file, result, a.progress, args...)
}

func (a *archiving) commandWith(ctx context.Context, file string, result any, each func(string), args ...string) error {
	out, err := a.output(ctx, file, each, nil, args...)
	if err != nil {
		return err
	}

	if result == nil {
		return nil
	}

	if err := readResult(out, result); err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}

	return nil
}

// output is what a command has printed, also if it failed; its environment is ours and env.
func (a *archiving) output(ctx context.Context, file string, each func(string), env []string, args ...string) (string, error) {
	out, err := a.r.table.Output(ctx, process.Command{
		Path: a.r.opts.ArchiveProgram, Args: append(args, "--config", file, "--json"), Env: append(slices.Clone(a.r.opts.Env), env...), Group: true,
	}, each)
	if err != nil {
		return out, tidy(err)
	}

	return out, nil
}

// readResult reads what a command has printed as its result.
func readResult(out string, result any) error {
	for line := range strings.Lines(out) {
		var printed archiveapi.Result[json.RawMessage]
		if err := json.Unmarshal([]byte(line), &printed); err == nil && printed.Result != nil {
			if err := json.Unmarshal(printed.Result, result); err != nil {
				return fmt.Errorf("read the result: %w", err)
			}

			return nil
		}
	}

	return errors.New("no result was printed")
}

// tidy takes the lines of progress out of a command's last words.
func tidy(err error) error {
	var words []string

	for word := range strings.SplitSeq(err.Error(), "; ") {
		if !strings.HasPrefix(strings.TrimSpace(word), "{") {
			words = append(words, word)
		}
	}

	return errors.New(strings.Join(words, "; "))
}

// progress reads a line of progress; others are for the log.
func (a *archiving) progress(line string) {
	p, ok := parseProgress(line)
	if !ok {
		a.log.Info(line)

		return
	}

	a.change(func(run *instanceapi.ArchiveRun) {
		run.Progress = &instanceapi.ArchiveProgress{Step: p.Phase, Done: p.BytesDone, Total: p.BytesTotal}
	})
}

func parseProgress(line string) (p archiveapi.Progress, ok bool) {
	err := json.Unmarshal([]byte(line), &p)

	return p, err == nil && p.Phase != ""
}

func (a *archiving) change(change func(*instanceapi.ArchiveRun)) {
	a.mu.Lock()
	defer a.mu.Unlock()

	if a.task != nil {
		next := *a.task
		change(&next)
		a.task = &next
	}
}

// ran is the task that runs or ran last.
func (a *archiving) ran() *instanceapi.ArchiveRun {
	a.mu.Lock()
	defer a.mu.Unlock()

	if a.task == nil {
		return nil
	}

	run := *a.task

	return &run
}

// recoveryWait is how often a server that recovers is looked at.
const recoveryWait = 200 * time.Millisecond
