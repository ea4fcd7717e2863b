package process

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

func TestStartFindKill(t *testing.T) {
	dir := t.TempDir()
	p := Process{PIDFile: filepath.Join(dir, "pid"), Log: filepath.Join(dir, "logs", "sleep.log")}
	if p.PID() != 0 {
		t.Error("a process is found before it is started")
	}
	if err := p.Start(exec.CommandContext(t.Context(), "sleep", "600")); err != nil {
		t.Fatal(err)
	}
	pid := p.PID()
	if pid == 0 {
		t.Fatal("a running process is not found")
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if p.PID() != 0 || startTime(pid) != "" {
		t.Error("the process is still there")
	}
	if err := p.Kill(); err != nil {
		t.Errorf("killing what is not there: %v", err)
	}
}

func TestAnotherProcessWithTheSameID(t *testing.T) {
	p := Process{PIDFile: filepath.Join(t.TempDir(), "pid")}
	for _, content := range []string{
		fmt.Sprintf("%d 1\n", os.Getpid()), strconv.Itoa(os.Getpid()), "", "nonsense",
	} {
		if err := os.WriteFile(p.PIDFile, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if pid := p.PID(); pid != 0 {
			t.Errorf("%q: process %d is taken for ours", content, pid)
		}
	}
}
