package process_test

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/instance/process"
)

// newTable makes this test the reaper of its children; tests of this package must not run in parallel.
func newTable(t *testing.T) *process.Table {
	t.Helper()

	table, err := process.NewTable(clock.RealClock{})
	if err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})

	go func() {
		defer close(ended)
		table.Run(ctx)
	}()

	t.Cleanup(func() {
		cancel()
		<-ended
	})

	return table
}

func shell(script string) process.Command {
	return process.Command{Path: "/bin/sh", Args: []string{"-c", script}, Env: []string{"PATH=" + os.Getenv("PATH")}}
}

func TestOutput(t *testing.T) {
	table := newTable(t)

	var said []string

	out, err := table.Output(t.Context(), shell("echo one; echo two >&2; echo three"), func(line string) { said = append(said, line) })
	if err != nil || out != "one\nthree\n" || strings.Join(said, ",") != "two" {
		t.Errorf("got %q, %q, %v", out, said, err)
	}

	_, err = table.Output(t.Context(), shell("echo why it failed >&2; exit 3"), nil)
	if err == nil || !strings.Contains(err.Error(), "exit code 3") || !strings.Contains(err.Error(), "why it failed") {
		t.Errorf("got %v, want the code and the reason", err)
	}

	if _, err := table.Output(t.Context(), process.Command{Path: "/nowhere"}, nil); err == nil {
		t.Error("a program that does not exist ran")
	}
}

func TestOutputEndsWithItsContext(t *testing.T) {
	table := newTable(t)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()

	began := time.Now()

	_, err := table.Output(ctx, shell("sleep 60"), nil)
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 10*time.Second {
		t.Errorf("got %v after %s", err, time.Since(began))
	}
}

// TestManyChildren: with os/exec, wait4(-1) would steal exit codes; here every child's own is told.
func TestManyChildren(t *testing.T) {
	table := newTable(t)
	codes := make(chan string, 50)

	for i := range 50 {
		go func() {
			child, err := table.Start(shell("exit " + strconv.Itoa(i)))
			if err != nil {
				codes <- err.Error()

				return
			}

			<-child.Done()

			if want := "exit code " + strconv.Itoa(i); child.Exit().String() != want {
				codes <- child.Exit().String() + ", want " + want

				return
			}

			codes <- ""
		}()
	}

	for range 50 {
		if wrong := <-codes; wrong != "" {
			t.Error(wrong)
		}
	}
}

func TestOrphansAreReaped(t *testing.T) {
	table := newTable(t)

	// The shell ends at once; what it left behind becomes ours, and must not stay as a zombie.
	out, err := table.Output(t.Context(), shell("(sleep 0.2; true) >/dev/null 2>&1 & echo $!"), nil)
	if err != nil {
		t.Fatal(err)
	}

	orphan := strings.TrimSpace(out)
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat("/proc/" + orphan); errors.Is(err, os.ErrNotExist) {
			return
		}

		if time.Now().After(deadline) {
			stat, _ := os.ReadFile("/proc/" + orphan + "/stat")
			t.Fatalf("process %s is still there: %s", orphan, stat)
		}
	}
}

func TestKillAll(t *testing.T) {
	table := newTable(t)

	child, err := table.Start(shell("trap '' TERM; sleep 60 & sleep 60 & (sleep 60 & wait) & wait"))
	if err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()

	if err := table.KillAll(ctx); err != nil {
		t.Error(err)
	}

	<-child.Done()

	if child.Exit().String() != "killed by SIGKILL" {
		t.Errorf("it ended by %s", child.Exit())
	}

	if err := child.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("a signal to a child that has ended: %v", err)
	}
}
