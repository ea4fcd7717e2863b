package instance_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sys/unix"
	"k8s.io/utils/clock"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/instance"
	"github.com/caretaker-dev/caretaker/internal/instance/harunner"
	"github.com/caretaker-dev/caretaker/internal/instance/install"
	"github.com/caretaker-dev/caretaker/internal/instance/layout"
	"github.com/caretaker-dev/caretaker/internal/instance/logging"
	"github.com/caretaker-dev/caretaker/internal/instance/term"
	"github.com/caretaker-dev/caretaker/internal/instance/watchdog"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/instanceclient"
	"github.com/caretaker-dev/caretaker/internal/pki"
	"github.com/caretaker-dev/caretaker/internal/testport"
)

// The tests run real instances, each as a process of its own (this test binary again), with a real PostgreSQL. Only
// Kubernetes is replaced: the term record and the role labels are files.

const (
	envChild   = "CARETAKER_TEST_INSTANCE"
	envRequire = "CARETAKER_REQUIRE_POSTGRES"
)

// watchdogArg makes the test binary PID 1's watchdog.
const watchdogArg = "watchdog"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == watchdogArg {
		if err := watchdog.Run(clock.RealClock{}, harunner.Boottime); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}

		os.Exit(0)
	}

	if encoded := os.Getenv(envChild); encoded != "" {
		os.Exit(runChild(encoded))
	}

	os.Exit(m.Run())
}

// child is what an instance's process is told.
type child struct {
	Name, PodUID, OSUser, Record string
	// Snapshot is the mark of a volume that was made of one.
	Snapshot string
	// Path is where programs are looked for.
	Path   string
	Layout layout.Layout
	// Ports of every member's PostgreSQL.
	Ports map[string]int
	// Statuses are every member's status server.
	Statuses map[string]string
	// Programs holds our own binaries, where a test needs them.
	Programs string
}

func runChild(encoded string) int {
	var c child
	if err := json.Unmarshal([]byte(encoded), &c); err != nil {
		fmt.Fprintln(os.Stderr, err)

		return 1
	}

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()

	id := logging.Identity{Cluster: "demo", Namespace: "test", Instance: c.Name}
	log := logging.New(os.Stdout, slog.LevelDebug, id)

	err := instance.Run(ctx, instance.Options{
		Cluster: "demo", Instance: c.Name, PodUID: c.PodUID, BinaryVersion: "test", OSUser: c.OSUser,
		Path: c.Path, Env: []string{"PATH=" + os.Getenv("PATH")},
		Snapshot: c.Snapshot, Layout: c.Layout, Clock: clock.RealClock{}, Log: log, ServerLog: log,
		Term: fileStore{path: c.Record}, Labels: fileLabel{path: c.Layout.RunDir + "/label"},
		TerminationLog: c.Layout.RunDir + "/termination-log", Terminations: fileKubelet{runDir: c.Layout.RunDir},
		Peer:       func(name string) (string, int) { return "127.0.0.1", c.Ports[name] },
		PeerStatus: func(name string) string { return c.Statuses[name] },
		Boottime:   harunner.Boottime,
		Watchdog:   []string{os.Args[0], watchdogArg},

		ArchiveProgram: filepath.Join(c.Programs, install.Archive), WALHelper: filepath.Join(c.Programs, install.WALHelper),
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)

		return 1
	}

	return 0
}

// fileStore is a term record in a file: the version is a counter, and a lock makes compare-and-swap atomic.
type fileStore struct{ path string }

type fileRecord struct {
	Version int                          `json:"version"`
	Spec    postgresqlv1.ClusterTermSpec `json:"spec"`
}

func (s fileStore) locked(do func() error) error {
	file, err := os.OpenFile(s.path+".lock", os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // the end of the process would do it too

	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil {
		return err
	}

	return do()
}

func (s fileStore) read() (fileRecord, error) {
	content, err := os.ReadFile(s.path)
	if errors.Is(err, os.ErrNotExist) {
		return fileRecord{}, term.ErrMissing
	}

	if err != nil {
		return fileRecord{}, err
	}

	var r fileRecord

	return r, json.Unmarshal(content, &r)
}

func (s fileStore) Get(context.Context) (term.Record, error) {
	var r fileRecord

	err := s.locked(func() (err error) {
		r, err = s.read()

		return err
	})

	return term.Record{Spec: r.Spec, Version: strconv.Itoa(r.Version)}, err
}

func (s fileStore) CompareAndSwap(_ context.Context, version string, spec postgresqlv1.ClusterTermSpec) (term.Record, error) {
	var written fileRecord

	err := s.locked(func() error {
		r, err := s.read()
		if err != nil {
			return err
		}

		if strconv.Itoa(r.Version) != version {
			return term.ErrConflict
		}

		written = fileRecord{Version: r.Version + 1, Spec: spec}

		return s.write(written)
	})

	return term.Record{Spec: spec, Version: strconv.Itoa(written.Version)}, err
}

func (s fileStore) write(r fileRecord) error {
	content, err := json.Marshal(r)
	if err != nil {
		return err
	}

	return os.WriteFile(s.path, content, 0o666)
}

type fileLabel struct{ path string }

func (l fileLabel) SetRole(_ context.Context, role string) error {
	return os.WriteFile(l.path, []byte(role), 0o600)
}

func (l fileLabel) Role(context.Context) (string, error) {
	role, err := os.ReadFile(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}

	return string(role), err
}

// fileKubelet is a kubelet's word in files: root/member/ended has the pod's UID and the termination log of the container
// that ended last.
type fileKubelet struct{ runDir string }

func (k fileKubelet) Terminations(_ context.Context, name string) (podUID string, messages []string, err error) {
	content, err := os.ReadFile(filepath.Join(filepath.Dir(filepath.Dir(k.runDir)), name, "ended"))
	if err != nil {
		return "", nil, err
	}

	podUID, message, _ := strings.Cut(string(content), "\n")

	return podUID, []string{message}, nil
}

// StripPrimary: the files lie at root/member/run/label.
func (l fileLabel) StripPrimary(_ context.Context, name string) error {
	path := filepath.Join(filepath.Dir(filepath.Dir(filepath.Dir(l.path))), name, "run/label")
	if role, err := os.ReadFile(path); err != nil || string(role) != "primary" {
		return nil //nolint:nilerr // there is no such pod, or it is none
	}

	return os.Remove(path)
}

// world is a Cluster of instances on this machine.
type world struct {
	// t is the test or subtest that goes on; owner the one that the world ends with.
	t      *testing.T
	owner  *testing.T
	root   string
	binary string
	uid    int
	gid    int
	osUser string
	store  fileStore
	config instanceapi.Config
	certs  pki.Output
	client *instanceclient.Client
	ports  map[string]int
	// statuses are fixed: peers find each other there.
	statuses map[string]string
	path     string
	// programs is where our own binaries are; empty if the test needs none.
	programs string
	// snapshots are the marks of members' volumes that were made of one.
	snapshots map[string]string
}

// newWorld prepares a Cluster demo with these members; nothing runs yet.
func newWorld(t *testing.T, members ...string) *world {
	t.Helper()
	requirePostgres(t)

	root, err := os.MkdirTemp("", "ctk") //nolint:usetesting // the path of a Unix socket must be short, and others must get in
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(root) })

	w := &world{
		t: t, owner: t, root: root, uid: os.Getuid(), gid: os.Getgid(), ports: map[string]int{}, statuses: map[string]string{},
		path: os.Getenv("PATH"), client: instanceclient.New(clock.RealClock{}), store: fileStore{path: filepath.Join(root, "record.json")},
	}
	w.chooseUser()
	must(t, os.Chmod(root, 0o755))
	w.copyBinary()

	w.config = instanceapi.Config{
		Cluster: "demo", Namespace: "test", Members: members, Slots: true,
		Bootstrap: instanceapi.Bootstrap{InitDB: &instanceapi.InitDB{
			Database: "app", Owner: "app", Encoding: "UTF8", Locale: "C", DataChecksums: true, WalSegmentSizeMB: 16,
		}},
		Parameters:           map[string]string{"shared_buffers": "16MB", "max_connections": "50"},
		SmartShutdownTimeout: 1, StopTimeout: 30, StartTimeout: 60,
	}

	w.certs, err = pki.Plan(pki.Input{
		Cluster: "demo", Namespace: "test", DNSNames: pki.DNSNames("demo", "test"), Now: time.Now(),
	})
	must(t, err)
	must(t, w.store.write(fileRecord{Version: 1, Spec: postgresqlv1.ClusterTermSpec{Bootstrap: members[0]}}))
	must(t, os.Chmod(w.store.path, 0o666))
	must(t, os.WriteFile(w.store.path+".lock", nil, 0o666))
	must(t, os.Chmod(w.store.path+".lock", 0o666))

	for _, member := range members {
		w.ports[member] = testport.Free(t)
		w.statuses[member] = testport.Address(t)
	}

	return w
}

func requirePostgres(t *testing.T) {
	t.Helper()

	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if len(found) > 0 || lookPath("postgres") {
		return
	}

	const why = "no PostgreSQL on this machine (looked in PATH and /usr/lib/postgresql/*/bin): apt-get install postgresql-15"
	if os.Getenv(envRequire) != "" {
		t.Fatal(why)
	}

	t.Skip(why)
}

func lookPath(name string) bool {
	_, err := exec.LookPath(name)

	return err == nil
}

// chooseUser: PostgreSQL refuses to run as root.
func (w *world) chooseUser() {
	if w.uid != 0 {
		current, err := user.Current()
		must(w.t, err)

		w.osUser = current.Username

		return
	}

	for _, name := range []string{"postgres", "nobody"} {
		if found, err := user.Lookup(name); err == nil {
			w.osUser = name
			w.uid, _ = strconv.Atoi(found.Uid)
			w.gid, _ = strconv.Atoi(found.Gid)

			return
		}
	}

	w.t.Skip("running as root, and there is no user postgres or nobody to run PostgreSQL as")
}

// copyBinary: the folder of a test binary is not open to other users.
func (w *world) copyBinary() {
	self, err := os.Executable()
	must(w.t, err)

	content, err := os.ReadFile(self)
	must(w.t, err)

	w.binary = filepath.Join(w.root, "instance.test")
	must(w.t, os.WriteFile(w.binary, content, 0o755))
}

// member is an instance that runs.
type member struct {
	w      *world
	name   string
	layout layout.Layout
	cmd    *exec.Cmd
	output *safeBuffer
	ended  chan error
}

// start starts an instance as a container would be; its volume stays from one start to the next.
func (w *world) start(name, podUID string) *member {
	w.t.Helper()

	dir := filepath.Join(w.root, name)
	m := &member{w: w, name: name, output: &safeBuffer{}, ended: make(chan error, 1), layout: layout.Layout{
		VolumeDir: dir + "/volume", DataDir: dir + "/volume/pgdata", StateDir: dir + "/volume/caretaker",
		ConfigDir: dir + "/config", CertificatesDir: dir + "/certs", CredentialsDir: dir + "/credentials",
		ExternalDir: dir + "/external", SocketDir: dir + "/socket", RunDir: dir + "/run",
		ListenAddress: "127.0.0.1", PostgresPort: w.ports[name],
		StatusAddress:  w.statusAddress(name),
		MetricsAddress: testport.Address(w.t),
	}}
	w.mount(m)

	encoded, err := json.Marshal(child{
		Name: name, PodUID: podUID, OSUser: w.osUser, Record: w.store.path, Layout: m.layout, Ports: w.ports, Statuses: w.statuses,
		Path: w.path, Programs: w.programs, Snapshot: w.snapshots[name],
	})
	must(w.t, err)

	m.cmd = exec.Command(w.binary)
	m.cmd.Env = append(os.Environ(), envChild+"="+string(encoded))
	m.cmd.Dir = w.root
	m.cmd.Stdout, m.cmd.Stderr = m.output, m.output
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}

	if os.Getuid() == 0 {
		m.cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(w.uid), Gid: uint32(w.gid)}
	}

	must(w.t, m.cmd.Start())

	go func() {
		err := m.cmd.Wait()
		// As a kubelet does, a moment later.
		time.Sleep(200 * time.Millisecond)

		message, _ := os.ReadFile(m.layout.RunDir + "/termination-log")
		_ = os.WriteFile(dir+"/ended", []byte(podUID+"\n"+string(message)), 0o644)
		m.ended <- err
	}()

	w.owner.Cleanup(func() {
		m.kill()

		if w.owner.Failed() {
			w.owner.Logf("output of %s:\n%s", name, m.output.String())
		}
	})

	return m
}

// statusAddress is the member's own, unless another process is there already.
func (w *world) statusAddress(name string) string {
	listener, err := net.Listen("tcp", w.statuses[name])
	if err != nil {
		return testport.Address(w.t)
	}

	must(w.t, listener.Close())

	return w.statuses[name]
}

// mount writes what Kubernetes would mount.
func (w *world) mount(m *member) {
	l := m.layout
	encoded, err := w.config.Encode()
	must(w.t, err)

	files := map[string][]byte{
		l.ConfigDir + "/config.json":               encoded,
		l.ConfigDir + "/server-ca.crt":             w.certs.ServerCABundle,
		l.ConfigDir + "/client-ca.crt":             w.certs.ClientCABundle,
		l.CertificatesDir + "/server/tls.crt":      w.certs.Server["tls.crt"],
		l.CertificatesDir + "/server/tls.key":      w.certs.Server["tls.key"],
		l.CertificatesDir + "/replication/tls.crt": w.certs.Replication["tls.crt"],
		l.CertificatesDir + "/replication/tls.key": w.certs.Replication["tls.key"],
		l.CredentialsDir + "/app/username":         []byte("app"),
		l.CredentialsDir + "/app/password":         []byte("first secret"),
		l.SocketDir + "/.keep":                     nil,
		l.VolumeDir + "/lost+found/.keep":          nil,
		filepath.Join(w.root, m.name, "run/.keep"): nil,
	}
	for path, content := range files {
		must(w.t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(w.t, os.WriteFile(path, content, 0o644))
	}

	must(w.t, filepath.WalkDir(filepath.Join(w.root, m.name), func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}

		return os.Lchown(path, w.uid, w.gid)
	}))
}

// kill ends the instance and everything below it, as the end of a container would.
func (m *member) kill() {
	pids := []int{m.cmd.Process.Pid}
	for i := 0; i < len(pids); i++ {
		pids = append(pids, childrenOf(pids[i])...)
	}

	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

func childrenOf(pid int) []int {
	var found []int

	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, task := range tasks {
		content, _ := os.ReadFile(task)
		for field := range strings.FieldsSeq(string(content)) {
			if child, err := strconv.Atoi(field); err == nil {
				found = append(found, child)
			}
		}
	}

	return found
}

func (m *member) target() instanceclient.Target {
	return instanceclient.Target{
		Name: m.name, Address: m.layout.StatusAddress, ServerCA: m.w.certs.ServerCABundle,
		ClientCert: m.w.certs.Replication["tls.crt"], ClientKey: m.w.certs.Replication["tls.key"],
	}
}

func (m *member) status() (instanceapi.Status, error) {
	return m.w.client.Status(context.Background(), m.target())
}

// await waits until the status is as wanted, and returns it.
func (m *member) await(what string, is func(instanceapi.Status) bool) instanceapi.Status {
	m.w.t.Helper()

	var last instanceapi.Status

	m.w.eventually(m.name+": "+what, func() error {
		status, err := m.status()
		if err != nil {
			return err
		}

		last = status
		if !is(status) {
			encoded, _ := json.Marshal(status)

			return errors.New(string(encoded))
		}

		return nil
	})

	return last
}

// awaitPasswords waits until the instance says that these are in force.
func (m *member) awaitPasswords(byRole map[string]string) {
	m.w.t.Helper()

	want := instanceapi.HashPasswords(byRole)
	m.await("has the passwords in force", func(s instanceapi.Status) bool { return s.PasswordsHash == want })
}

func (m *member) awaitReady() instanceapi.Status {
	m.w.t.Helper()

	return m.await("is ready", func(s instanceapi.Status) bool { return s.Ready })
}

// query asks the instance's PostgreSQL over its socket for one value. Peer authentication wants its own user.
func (m *member) query(sql string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()

	cmd := exec.CommandContext(ctx, "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", m.layout.SocketDir,
		"-p", strconv.Itoa(m.layout.PostgresPort), "-U", "postgres", "-d", "postgres", "-c", sql)
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(m.w.uid), Gid: uint32(m.w.gid)}}
	}

	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}

	return strings.TrimSpace(string(out)), nil
}

func (m *member) mustQuery(sql string) string {
	m.w.t.Helper()

	value, err := m.query(sql)
	must(m.w.t, err)

	return value
}

// awaitQuery waits until a query gives a value.
func (m *member) awaitQuery(sql, want string) {
	m.w.t.Helper()
	m.w.eventually(m.name+": "+sql+" = "+want, func() error {
		got, err := m.query(sql)
		if err == nil && got != want {
			err = fmt.Errorf("got %q", got)
		}

		return err
	})
}

func (m *member) put(change func(*instanceapi.Config)) error {
	change(&m.w.config)

	encoded, err := m.w.config.Encode()
	if err != nil {
		return err
	}

	return m.w.client.PutConfig(context.Background(), m.target(), encoded)
}

func (w *world) eventually(what string, check func() error) {
	w.t.Helper()

	deadline := time.Now().Add(60 * time.Second)

	var err error
	for time.Now().Before(deadline) {
		if err = check(); err == nil {
			return
		}

		time.Sleep(50 * time.Millisecond)
	}

	w.t.Fatalf("%s: not within a minute; last: %v", what, err)
}

func (w *world) record() postgresqlv1.ClusterTermSpec {
	w.t.Helper()

	r, err := w.store.Get(context.Background())
	must(w.t, err)

	return r.Spec
}

// login connects to a primary over TCP as the application.
func (w *world) login(password string) error { return w.loginAs("app", password) }

func (w *world) loginAs(role, password string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()

	conn, err := pgx.Connect(ctx, fmt.Sprintf("host=127.0.0.1 port=%d user=%s password='%s' dbname=app sslmode=require",
		w.ports["demo-0"], role, password))
	if err != nil {
		return err
	}

	return conn.Close(ctx)
}

type safeBuffer struct {
	lock   sync.Mutex
	buffer bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.lock.Lock()
	defer b.lock.Unlock()

	return b.buffer.Write(p)
}

func (b *safeBuffer) String() string {
	b.lock.Lock()
	defer b.lock.Unlock()

	return b.buffer.String()
}

func must(t *testing.T, err error) {
	t.Helper()

	if err != nil {
		t.Fatal(err)
	}
}
