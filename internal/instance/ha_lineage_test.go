package instance

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/caretaker-dev/caretaker/internal/postgres"
	"github.com/caretaker-dev/caretaker/internal/testport"
)

const lineageSegment = 16 << 20

// bare is a PostgreSQL without PID 1.
type bare struct {
	t              *testing.T
	bin, root, dir string
	port           int
}

func (b bare) command(program string, args ...string) *exec.Cmd {
	command := exec.Command(filepath.Join(b.bin, program), args...)
	command.Dir = b.root

	if os.Getuid() == 0 {
		const nobody = 65534

		command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}

	return command
}

func (b bare) run(program string, args ...string) string {
	b.t.Helper()

	out, err := b.command(program, args...).CombinedOutput()
	if err != nil {
		log, _ := os.ReadFile(b.dir + ".log")
		b.t.Fatalf("%s %v: %v\n%s\n%s", program, args, err, out, log[max(0, len(log)-2000):])
	}

	return strings.TrimSpace(string(out))
}

func (b bare) sql(text string) string {
	b.t.Helper()

	return b.run("psql", "-XAtq", "-h", b.root, "-p", fmt.Sprint(b.port), "-U", "postgres", "-c", text, "postgres")
}

func (b bare) write(name, content string) {
	b.t.Helper()

	path := filepath.Join(b.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		b.t.Fatal(err)
	}

	if info, err := os.Stat(b.dir); err == nil {
		owner := info.Sys().(*syscall.Stat_t)
		_ = os.Chown(path, int(owner.Uid), int(owner.Gid))
	}
}

// start it, as a standby of another one, of nobody, or as a primary.
func (b bare) start(standby bool, upstream *bare) { //nolint:revive // a fact, not a mode
	b.t.Helper()

	conf := fmt.Sprintf("port = %d\nlisten_addresses = ''\nunix_socket_directories = '%s'\nfsync = off\narchive_mode = on\narchive_command = 'true'\nmax_wal_senders = 8\n"+
		"wal_keep_size = '1GB'\nwal_retrieve_retry_interval = '100ms'\n", b.port, b.root)
	if upstream != nil {
		conf += fmt.Sprintf("primary_conninfo = 'host=%s port=%d user=postgres'\n", upstream.root, upstream.port)
	}

	b.write("postgresql.auto.conf", conf)

	if standby {
		b.write("standby.signal", "")
	}

	b.run("pg_ctl", "-D", b.dir, "-l", b.dir+".log", "-w", "-t", "60", "start")
	b.t.Cleanup(b.stop)
}

// stop it, if it runs. An orderly stop of a primary would end the segment.
func (b bare) stop() { _ = b.command("pg_ctl", "-D", b.dir, "-m", "immediate", "-w", "stop").Run() }

func (b bare) promote() {
	b.t.Helper()
	b.run("pg_ctl", "-D", b.dir, "-w", "promote")
}

func (b bare) copy(name string) bare {
	b.t.Helper()

	c := b
	c.dir, c.port = filepath.Join(b.root, name), testport.Free(b.t)
	b.run("pg_basebackup", "-h", b.root, "-p", fmt.Sprint(b.port), "-U", "postgres", "-D", c.dir, "-c", "fast")

	return c
}

// follows waits until a replica has what its primary writes now.
func (b bare) follows(primary bare) error {
	b.t.Helper()

	primary.sql("CREATE TABLE followed AS SELECT 1")

	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if b.sql("SELECT to_regclass('followed') IS NOT NULL") == "t" {
			return nil
		}
	}

	log, _ := os.ReadFile(b.dir + ".log")

	return fmt.Errorf("the replica does not follow:\n%s", log[max(0, len(log)-1500):])
}

// TestLineage: a replica on the timeline before the last two follows, whatever the new primary aimed at and did in that segment.
func TestLineage(t *testing.T) {
	t.Parallel()

	bin := os.Getenv("POSTGRES_BINDIR")
	if bin == "" {
		t.Skip("POSTGRES_BINDIR is not set")
	}

	for name, c := range map[string]struct {
		// take makes heir the primary on timeline 3.
		take func(heir bare)
		want string
	}{
		"it aimed at a timeline that it knew only the history of": {
			take: func(heir bare) {
				end, err := postgres.ParseLSN(heir.sql("SELECT pg_last_wal_replay_lsn()"))
				if err != nil {
					t.Fatal(err)
				}

				heir.stop()
				heir.write("pg_wal/00000002.history", fmt.Sprintf("1\t%s\tfailover\n", end+0x200))
				heir.start(true, nil)
				heir.promote()
			},
			want: "00000003.history",
		},
		"it was promoted twice within a segment": {
			take: func(heir bare) {
				heir.promote()
				heir.sql("CREATE TABLE between AS SELECT 1")
				heir.stop()
				heir.start(true, nil)
				heir.promote()
			},
			want: "000000020000000000000004",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			primary, heir, replica := lineageServers(t, bin)
			primary.stop()
			c.take(heir)
			heir.sql("CHECKPOINT")
			replica.start(true, &heir)

			wal := filepath.Join(heir.dir, "pg_wal")

			straightened, err := straighten(wal, 3)
			if err != nil {
				t.Fatal(err)
			}

			completed, err := completeSegments(wal, 3, lineageSegment)
			if err != nil {
				t.Fatal(err)
			}

			if os.Getuid() == 0 {
				_ = filepath.Walk(wal, func(path string, _ os.FileInfo, _ error) error { return os.Chown(path, 65534, 65534) })
			}

			if err := replica.follows(heir); err != nil {
				t.Error(err)
			}

			if got := straightened + completed; got != c.want {
				t.Errorf("mended is %q, want %q", got, c.want)
			}

			if again, err := completeSegments(wal, 3, lineageSegment); err != nil || again != "" {
				t.Errorf("once more it mends %q: %v", again, err)
			}
		})
	}
}

// lineageServers are a primary, a replica that has all that it wrote, and one that lacks the last of it and is stopped.
func lineageServers(t *testing.T, bin string) (primary, heir, replica bare) {
	t.Helper()

	root, err := os.MkdirTemp("", "ct-line-") //nolint:usetesting // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { _ = os.RemoveAll(root) })

	if os.Getuid() == 0 {
		_ = os.Chown(root, 65534, 65534)
	}

	primary = bare{t: t, bin: bin, root: root, dir: filepath.Join(root, "primary"), port: testport.Free(t)}
	primary.run("initdb", "-D", primary.dir, "-U", "postgres", "--auth=trust", "--no-sync", "--no-locale")
	primary.start(false, nil)

	heir, replica = primary.copy("heir"), primary.copy("replica")
	heir.start(true, &primary)
	replica.start(true, &primary)

	for _, b := range []bare{replica, heir} {
		if err := b.follows(primary); err != nil {
			t.Fatal(err)
		}

		primary.sql("DROP TABLE followed")
		replica.stop()
	}

	return primary, heir, replica
}
