package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// maxLog is the size at which a log is begun anew when its program starts.
const maxLog = 64 << 20

// Process is a program in the background, known by the file that holds its ID.
type Process struct {
	// PIDFile remembers the process.
	PIDFile string
	// Log takes what the program prints.
	Log string
}

// Start starts the command detached from the tool and its terminal.
func (p Process) Start(cmd *exec.Cmd) error {
	log, err := OpenLog(p.Log)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	cmd.Stdout, cmd.Stderr = log, log
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setsid = true
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", cmd.Path, err)
	}
	// The tool may wait for its own children or leave them to the machine's init:
	// either way nobody must be left behind as a zombie while the tool runs.
	go func() { _ = cmd.Wait() }()
	id := fmt.Sprintf("%d %s\n", cmd.Process.Pid, startTime(cmd.Process.Pid))
	if err := os.MkdirAll(filepath.Dir(p.PIDFile), 0o750); err != nil {
		return fmt.Errorf("remembering a process: %w", err)
	}
	if err := os.WriteFile(p.PIDFile, []byte(id), 0o600); err != nil {
		return fmt.Errorf("remembering a process: %w", err)
	}
	return nil
}

// PID returns the ID of the process if it is alive, and otherwise 0.
func (p Process) PID() int {
	content, err := os.ReadFile(p.PIDFile)
	if err != nil {
		return 0
	}
	id, started, _ := strings.Cut(strings.TrimSpace(string(content)), " ")
	pid, err := strconv.Atoi(id)
	if err != nil || started == "" || startTime(pid) != started {
		return 0
	}
	return pid
}

// Kill ends the process at once, waits until it is gone, and forgets it. That
// it is not running is no error.
func (p Process) Kill() error {
	if pid := p.PID(); pid != 0 {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("killing process %d of %s: %w", pid, p.PIDFile, err)
		}
		if err := p.wait(20 * time.Second); err != nil {
			return err
		}
	}
	if err := os.Remove(p.PIDFile); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("forgetting a process: %w", err)
	}
	return nil
}

func (p Process) wait(limit time.Duration) error {
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if p.PID() == 0 {
			return nil
		}
	}
	return fmt.Errorf("process %d of %s does not end within %s of SIGKILL", p.PID(), p.PIDFile, limit)
}

// OpenLog opens a log to append to, beginning it anew if it has become large.
func OpenLog(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	mode := os.O_CREATE | os.O_WRONLY | os.O_APPEND
	if info, err := os.Stat(path); err == nil && info.Size() > maxLog {
		mode |= os.O_TRUNC
	}
	file, err := os.OpenFile(path, mode, 0o600)
	if err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	return file, nil
}

// startTime returns when a process started, in ticks since boot, or nothing if it
// is not alive. A zombie is not alive.
func startTime(pid int) string {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return ""
	}
	// The second field, the program's name, may contain anything: count from its end.
	_, rest, found := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if !found || len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return ""
	}
	return fields[19]
}
