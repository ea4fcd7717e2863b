package watchdog

import (
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/instance/process"
)

const (
	// look is how often the child looks at the deadline. Fencing is over at nine tenths of the authority; this is a
	// small part of the tenth that is left.
	look = 50 * time.Millisecond
	// again is how often it looks for processes that are left.
	again = 10 * time.Millisecond
	// deadlineFile is the descriptor that the child inherits.
	deadlineFile = 3
)

// Run is the child's life: until its parent ends.
func Run(clk clock.Clock, boottime func() time.Duration) error {
	parent := os.Getppid()
	deadline := &Deadline{file: os.NewFile(deadlineFile, "deadline")}

	for os.Getppid() == parent {
		by, err := deadline.get()
		if err != nil {
			return err
		}

		wait := look

		if now := boottime(); by != 0 && now >= by {
			wait = again

			if kill(parent) > 0 {
				say("the deadline is over: killed what is left of PostgreSQL, for PID 1 has not")
			}
		} else if by != 0 {
			wait = min(wait, by-now)
		}

		<-clk.After(wait)
	}

	return nil
}

// kill ends every process of the container but its PID 1 and this one.
func kill(parent int) int {
	left, err := process.DescendantsOf(parent)
	if err != nil {
		say("processes cannot be listed: " + err.Error())
	}

	killed := 0

	for _, pid := range left {
		if pid != os.Getpid() && unix.Kill(pid, unix.SIGKILL) == nil {
			killed++
		}
	}

	if parent == 1 {
		// In a PID namespace of its own this hits everything at once, also what was forked meanwhile.
		_ = unix.Kill(-1, unix.SIGKILL)
	}

	return killed
}

// say writes a line that looks like PID 1's, without its machinery. Nothing waits for it: the pipe may be full.
func say(message string) {
	go func() {
		_, _ = os.Stderr.WriteString(`{"level":"error","logger":"watchdog","msg":` + strconv.Quote(message) + "}\n")
	}()
}
