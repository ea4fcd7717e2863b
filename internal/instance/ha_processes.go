package instance

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/caretaker-dev/caretaker/internal/instance/process"
	"github.com/caretaker-dev/caretaker/internal/postgres"
	"github.com/caretaker-dev/caretaker/internal/walclient"
)

func senders(of []pgProcess) []pgProcess {
	return slices.DeleteFunc(slices.Clone(of), func(c pgProcess) bool {
		return !strings.HasPrefix(c.title, "postgres:") || !strings.Contains(c.title, "walsender")
	})
}

// stillSending is who is sent the last of the log: so many processes did when the stop began, and one of them to the one that is to
// lead next; 0 if nobody is named, or not connected.
type stillSending struct{ began, next int }

// isEnough: a replica has everything, and the next one does.
func (s stillSending) isEnough(processes []pgProcess) bool {
	left := senders(processes)

	return len(left) < s.began && !slices.ContainsFunc(left, func(c pgProcess) bool { return c.pid == s.next })
}

// serverProcess are titles of processes of a primary that serve no client. Of the walsenders only the members' own: one that is
// connected to a database runs SQL, too.
var serverProcess = regexp.MustCompile(`^(checkpointer( performing .*)?|background writer|walwriter|walsender ` + postgres.ReplicationUser + ` \S+\(\d+\)( .*)?|archiver( (last was|archiving|failed on) .*)?|` +
	`autovacuum launcher|logical replication launcher|logger|io worker \d+)$`)

// leaving are the processes that may serve clients in a server that stops.
type leaving struct {
	// known: these are those that were there when the server was seen to let nobody in any more.
	known bool
	pids  []int
	gone  bool
}

// sawLastGo looks at the processes of a server that lets nobody in any more, and tells once when the last one that may serve a
// client has gone: what is started after the first look only refuses. A process whose title is not known counts as a client's.
func (p *protocol) sawLastGo(l *leaving, processes []pgProcess) bool {
	postmaster := p.r.server.PID()
	if l.gone || !slices.ContainsFunc(processes, func(c pgProcess) bool { return c.pid == postmaster }) {
		return false // nothing is told from a list that is not whole
	}

	var now []int

	for _, c := range processes {
		isHelper := strings.HasPrefix(c.title, p.r.opts.WALHelper+"\x00")
		if c.pid != postmaster && !isHelper && !servesNoClient(c.title) && (!l.known || slices.Contains(l.pids, c.pid)) {
			now = append(now, c.pid)
		}
	}

	l.known, l.pids, l.gone = true, now, len(now) == 0

	return l.gone
}

// isStopping tells whether the postmaster has taken the order to stop: its file has its status in a line of its own
// (LOCK_FILE_LINE_PM_STATUS of miscadmin.h).
func (p *protocol) isStopping() bool {
	status, err := os.ReadFile(filepath.Join(p.r.layout.DataDir, "postmaster.pid"))
	lines := strings.Split(string(status), "\n")

	return err == nil && len(lines) >= pidFileStatus && strings.TrimSpace(lines[pidFileStatus-1]) == "stopping"
}

// pidFileStatus is the number of that line.
const pidFileStatus = 8

// servesNoClient tells whether a process of PostgreSQL is one of the server's own, by its title ("postgres: CLUSTER: NAME").
func servesNoClient(title string) bool {
	words := strings.Split(strings.TrimRight(title, "\x00 "), ": ")

	return words[0] == "postgres" && serverProcess.MatchString(words[len(words)-1])
}

// endArchiver keeps PostgreSQL's archiver from what it does before it ends: to archive all that is left, which takes as long
// as the store takes. After SIGTERM it begins nothing more; what it has begun is ended.
func (p *protocol) endArchiver(of []pgProcess) {
	push := "\x00" + walclient.VerbPush + "\x00"

	for _, c := range of {
		if strings.HasPrefix(c.title, "postgres:") && strings.Contains(c.title, ": archiver") ||
			strings.HasPrefix(c.title, p.r.opts.WALHelper+"\x00") && strings.Contains(c.title, push) {
			_ = unix.Kill(c.pid, syscall.SIGTERM)
		}
	}
}

// pgProcess is a process of our PostgreSQL, the postmaster among them, with its title or command line; empty if it cannot be read.
type pgProcess struct {
	pid   int
	title string
}

// processes of our PostgreSQL: a server that shuts down takes no connections to ask it.
func (p *protocol) processes() []pgProcess {
	var found []pgProcess

	titles, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range titles {
		pid, err := strconv.Atoi(strings.Split(path, "/")[2])
		if err != nil || !p.isOurs(pid) {
			continue
		}

		title, err := os.ReadFile(path) //nolint:gosec // of /proc
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // it has just ended
		}

		found = append(found, pgProcess{pid: pid, title: string(title)})
	}

	return found
}

// isOurs: what runs in the data directory, and whatever the postmaster has started, wherever that went to (a function in another
// language may change its directory).
func (p *protocol) isOurs(pid int) bool {
	if cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)); err == nil && cwd == p.r.layout.DataDir {
		return true
	}

	parent, isAlive := process.ParentOf(pid)

	return isAlive && parent > 0 && parent == p.r.server.PID()
}
