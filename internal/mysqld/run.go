package mysqld

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"k8s.io/utils/clock"
)

const (
	tick = time.Second
	// stopTimeout is how long mysqld may take to stop; the pod's grace period is longer.
	stopTimeout = 110 * time.Second
	// restartDelay is between an end of mysqld that nobody asked for and its next start.
	restartDelay = 2 * time.Second
	// stepTimeout bounds one look at the server; to join or begin a group takes longer.
	stepTimeout = 10 * time.Second
	joinTimeout = 10 * time.Minute
)

// Pods is the member's own pod, and the others', in the Kubernetes API.
type Pods interface {
	// Tell writes the annotation and the role label of the own pod; an empty role takes the label off.
	Tell(ctx context.Context, member Member) error
	// Order reads the run that shall begin a group; empty for none.
	Order(ctx context.Context) (string, error)
	// StripPrimary takes the primary's label off another pod.
	StripPrimary(ctx context.Context, instance string) error
}

// Options of a member.
type Options struct {
	Settings

	// Peers are the names of all members that there may be, Host gives the address of one.
	Peers []string
	Host  func(instance string) string
	Pods  Pods
	Clock clock.Clock
	Log   *slog.Logger
	// ProbeAddress is served for the kubelet.
	ProbeAddress string
}

// member is a run of Run.
type member struct {
	Options

	mu   sync.Mutex
	last Member
	// told is what the pod says already.
	told string
	// appPassword is what was last made to work.
	appPassword string
	stripped    bool
}

// Run looks after mysqld until the context ends, and stops it in order.
func Run(ctx context.Context, options Options) error {
	m := &member{Options: options}

	stopProbes, err := m.serveProbes(ctx)
	if err != nil {
		return err
	}
	defer stopProbes()

	for ctx.Err() == nil {
		if err := m.serve(ctx); err != nil {
			m.Log.Error("mysqld ended", "error", err)
			m.say(ctx, Member{Run: m.get().Run, State: StateFailed, Message: err.Error()})
		}

		select {
		case <-ctx.Done():
		case <-m.Clock.After(restartDelay):
		}
	}

	return nil
}

func (m *member) get() Member {
	m.mu.Lock()
	defer m.mu.Unlock()

	return m.last
}

// say makes a state known: to probes at once, to Kubernetes as soon as it can be reached.
func (m *member) say(ctx context.Context, now Member) {
	m.mu.Lock()
	m.last = now
	m.mu.Unlock()

	encoded := now.Encode()
	if encoded == m.told {
		return
	}

	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()

	if err := m.Pods.Tell(ctx, now); err != nil {
		m.Log.Warn("the pod could not be annotated; it is tried again", "error", err)

		return
	}

	m.Log.Info("state changed", "state", now.State, "role", now.Role, "message", now.Message)
	m.told = encoded
}

// serve is one run of mysqld.
func (m *member) serve(ctx context.Context) error {
	if err := m.prepare(ctx); err != nil {
		return err
	}

	run := rand.Text()
	m.say(ctx, Member{Run: run, State: StateStarting, Message: "mysqld is starting"})

	server := m.command("--defaults-file=" + RunDir + "/my.cnf")
	if err := server.Start(); err != nil {
		return fmt.Errorf("start mysqld: %w", err)
	}

	ended := make(chan error, 1)
	go func() { ended <- server.Wait() }()

	m.Log.Info("started mysqld", "pid", server.Process.Pid)

	// What is asked of the server ends with it.
	life, cancel := context.WithCancel(ctx)
	defer cancel()

	var watching sync.WaitGroup

	watching.Go(func() { m.watch(life, run) })
	defer watching.Wait()

	select {
	case err := <-ended:
		cancel()

		return fmt.Errorf("mysqld: %w", orEnded(err))
	case <-ctx.Done():
	}

	return m.stop(server, ended)
}

func orEnded(err error) error {
	if err == nil {
		return errors.New("ended by itself")
	}

	return err
}

// stop ends mysqld in order: it leaves its group first, so that another takes over at once.
func (m *member) stop(server *exec.Cmd, ended <-chan error) error {
	m.Log.Info("stopping mysqld")

	if err := server.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop mysqld: %w", err)
	}

	select {
	case <-ended: //nolint:errcheck // it was told to end
		return nil
	case <-m.Clock.After(stopTimeout):
		return fmt.Errorf("mysqld did not stop within %s: %w", stopTimeout, server.Process.Kill())
	}
}

func (m *member) command(args ...string) *exec.Cmd {
	server := exec.Command("mysqld", args...) //nolint:gosec,noctx // our own arguments; it is stopped in order, not by a context
	server.Stdout, server.Stderr = os.Stdout, os.Stderr
	// It must not get the signals of a terminal, and ends with us.
	server.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}

	return server
}

// prepare writes the configuration, and initializes the data of a new volume. An initialization that was cut short is
// begun again: it happens in a folder of another name.
func (m *member) prepare(ctx context.Context) error {
	internal, err := readCredentials("internal", "root-password", "replication-password")
	if err != nil {
		return err
	}

	for name, content := range map[string]string{
		"my.cnf":   m.File(),
		"init.sql": InitFile(internal["root-password"], internal["replication-password"]),
	} {
		if err := os.WriteFile(filepath.Join(RunDir, name), []byte(content), 0o600); err != nil {
			return fmt.Errorf("write the configuration: %w", err)
		}
	}

	if _, err := os.Stat(DataDir); err == nil {
		return nil
	}

	m.say(ctx, Member{State: StateStarting, Message: "initializing the data"})

	fresh := DataDir + ".new"
	if err := os.RemoveAll(fresh); err != nil {
		return fmt.Errorf("clear the volume: %w", err)
	}

	initialize := m.command("--no-defaults", "--initialize-insecure", "--datadir="+fresh, "--tmpdir="+TmpDir)
	if err := initialize.Run(); err != nil {
		return fmt.Errorf("initialize the data: %w", err)
	}

	if err := os.Rename(fresh, DataDir); err != nil {
		return fmt.Errorf("initialize the data: %w", err)
	}

	return nil
}

// readCredentials reads a mounted Secret.
func readCredentials(secret string, keys ...string) (map[string]string, error) {
	values := map[string]string{}

	for _, key := range keys {
		content, err := os.ReadFile(filepath.Join(CredentialsDir, secret, key)) //nolint:gosec // a Secret that the operator mounted
		if err != nil {
			return nil, fmt.Errorf("read credentials: %w", err)
		}

		values[key] = strings.TrimSpace(string(content))
	}

	return values, nil
}

// watch looks at the server until its run ends.
func (m *member) watch(ctx context.Context, run string) {
	var db *database

	defer func() { db.close() }()

	for ctx.Err() == nil {
		if db == nil {
			db = m.connect()
		}

		m.look(ctx, db, run)

		select {
		case <-ctx.Done():
		case <-m.Clock.After(tick):
		}
	}
}

// look is one pass: what the group says of this member decides what is done.
func (m *member) look(ctx context.Context, db *database, run string) {
	seen, err := db.membership(ctx)
	if err != nil {
		// A member that was ready and does not answer is not ready.
		if was := m.get(); was.State == StateOnline {
			m.say(ctx, Member{Run: run, State: StateStarting, Version: was.Version, Message: "mysqld does not answer"})
		}

		return
	}

	now := Member{Run: run, Version: seen.version}

	switch seen.state {
	case "ONLINE":
		now.State, now.Role = StateOnline, seen.role
		m.online(ctx, db, now)
	case "RECOVERING":
		now.State, now.Message = StateJoining, "catching up with the group"
		m.say(ctx, now)
	default:
		m.apart(ctx, db, now, seen.state)
	}
}

// online: the primary has the label, and looks after the application's user.
func (m *member) online(ctx context.Context, db *database, now Member) {
	m.say(ctx, now)

	if now.Role != rolePrimary {
		m.stripped = false

		return
	}

	if !m.stripped {
		m.stripped = m.stripOthers(ctx)
	}

	if err := m.application(ctx, db); err != nil {
		m.Log.Warn("the application's user could not be looked after; it is tried again", "error", err)
	}
}

// stripOthers takes the primary's label off pods that cannot do it any more.
func (m *member) stripOthers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()

	for _, peer := range m.Peers {
		if peer == m.Instance {
			continue
		}

		if err := m.Pods.StripPrimary(ctx, peer); err != nil {
			m.Log.Warn("a label could not be taken off; it is tried again", "instance", peer, "error", err)

			return false
		}
	}

	return true
}

// apart: the member is in no group. It joins the one that it finds; if there is none, it tells what it has, and begins one
// when it is ordered to.
func (m *member) apart(ctx context.Context, db *database, now Member, state string) {
	if state == "ERROR" {
		// It has left its group, and says so in its log.
		if err := db.leave(ctx); err != nil {
			m.Log.Warn("the group could not be left", "error", err)
		}
	}

	seeds := m.onlinePeers(ctx)
	if len(seeds) > 0 {
		now.State, now.Message = StateJoining, "joining the group"
		m.say(ctx, now)

		if err := m.join(ctx, db, seeds); err != nil && ctx.Err() == nil {
			now.State, now.Message = StateFailed, "cannot join the group: "+err.Error()
			m.say(ctx, now)
		}

		return
	}

	gtids, err := db.executed(ctx)
	if err != nil {
		m.Log.Warn("the server could not be asked for its transactions", "error", err)

		return
	}

	now.State, now.GTIDs, now.Message = StateWaiting, gtids, "in no group, and no member that is in one can be reached"
	m.say(ctx, now)

	order, err := m.Pods.Order(ctx)
	if err != nil || order != now.Run {
		return
	}

	m.Log.Info("beginning the group, as ordered")

	if err := m.begin(ctx, db); err != nil {
		m.Log.Error("the group could not be begun", "error", err)
	}
}
