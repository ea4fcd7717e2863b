//nolint:gosec // files and processes of the test's own
package instance_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/instanceclient"
	"github.com/caretaker-dev/caretaker/internal/pki"
)

// TestLife walks a primary and a replica through what happens to them, one thing after the other.
func TestLife(t *testing.T) {
	w := newWorld(t, "demo-0", "demo-1")
	// Patient: a restart in place is to be one.
	w.config.HA = instanceapi.HA{Acks: 1, Preferred: true, HeartbeatMillis: 3000, PromiseMillis: 12000}
	primary, replica := w.start("demo-0", "uid-0"), w.start("demo-1", "uid-1")

	t.Run("a new Cluster", func(t *testing.T) {
		w.t = t
		status := primary.awaitReady()

		if status.Role != instanceapi.RolePrimary || status.Term != 1 || status.TimelineID != 1 {
			t.Errorf("role %q in term %d on timeline %d, want the primary of term 1", status.Role, status.Term, status.TimelineID)
		}

		record := w.record()
		if record.Primary == nil || record.Primary.MemberID != status.MemberID || record.Primary.PodUID != "uid-0" ||
			record.SystemID != status.SystemID || !record.Established {
			t.Errorf("the record is %+v, want it to name %+v", record, status)
		}

		if out := primary.output.String(); strings.Contains(out, "level=ERROR") || strings.Contains(out, `"level":"error"`) {
			t.Errorf("nothing is wrong, and the log has an error:\n%s", out)
		}

		status = replica.awaitReady()
		if status.Role != instanceapi.RoleReplica || status.Streaming == nil {
			t.Errorf("role %q, streaming %v: want a replica that streams", status.Role, status.Streaming)
		}

		primary.mustQuery("CREATE TABLE kept AS SELECT 42 AS answer")
		replica.awaitQuery("SELECT answer FROM kept", "42")
		must(t, w.login("first secret"))
		primary.await("sees its replica", seesReplica)

		for m, want := range map[*member]string{primary: "primary", replica: "replica"} {
			if got, err := os.ReadFile(m.layout.RunDir + "/label"); err != nil || string(got) != want {
				t.Errorf("%s is labelled %q (%v), want %q", m.name, got, err, want)
			}
		}
	})

	t.Run("each keeps a slot for the other", func(t *testing.T) {
		w.t = t
		slots := "SELECT string_agg(slot_name || ' ' || active, ',') FROM pg_replication_slots"

		primary.awaitQuery(slots, "caretaker_demo_1 true")
		replica.awaitQuery(slots, "caretaker_demo_0 false")

		before := replica.mustQuery("SELECT restart_lsn FROM pg_replication_slots")
		primary.mustQuery("CREATE TABLE many AS SELECT generate_series(1, 10000)")
		replica.awaitQuery("SELECT restart_lsn > '"+before+"' FROM pg_replication_slots", "t")

		must(t, primary.put(func(c *instanceapi.Config) { c.Members = []string{"demo-0", "demo-1", "demo-2"} }))
		primary.awaitQuery("SELECT count(*) FROM pg_replication_slots WHERE restart_lsn IS NOT NULL", "2")
		must(t, primary.put(func(c *instanceapi.Config) { c.Members = []string{"demo-0", "demo-1"} }))
		primary.awaitQuery("SELECT string_agg(slot_name, ',') FROM pg_replication_slots", "caretaker_demo_1")
	})

	t.Run("a parameter that needs a reload", func(t *testing.T) {
		w.t = t
		change := func(c *instanceapi.Config) { c.Parameters["work_mem"] = "7MB" }
		must(t, primary.put(change))
		primary.awaitQuery("SHOW work_mem", "7MB")

		encoded, _ := w.config.Encode()
		if status := primary.awaitReady(); status.ConfigHash != instanceapi.HashBytes(encoded) || len(status.PendingRestart) > 0 {
			t.Errorf("config hash %s, pending %v: want %s and none", status.ConfigHash, status.PendingRestart, instanceapi.HashBytes(encoded))
		}
	})

	t.Run("a configuration that cannot be used", func(t *testing.T) {
		w.t = t
		err := w.client.PutConfig(context.Background(), primary.target(), []byte("{"))

		var refused *instanceclient.RefusedError
		if !errors.As(err, &refused) || refused.StatusCode != http.StatusUnprocessableEntity {
			t.Errorf("got %v, want a refusal with 422", err)
		}

		must(t, primary.put(func(c *instanceapi.Config) { c.Parameters["nonsense"] = "1" }))
		primary.await("tells what PostgreSQL says against it", func(s instanceapi.Status) bool {
			return strings.Contains(strings.Join(s.ConfigErrors, "\n"), "nonsense = 1")
		})
		must(t, primary.put(func(c *instanceapi.Config) { delete(c.Parameters, "nonsense") }))
		primary.await("has no errors any more", func(s instanceapi.Status) bool { return len(s.ConfigErrors) == 0 })
	})

	t.Run("max_connections up, replica first", func(t *testing.T) {
		w.t = t
		w.changeMaxConnections([]*member{replica, primary}, 60)
	})

	t.Run("max_connections down, primary first", func(t *testing.T) {
		w.t = t
		w.changeMaxConnections([]*member{primary, replica}, 30)
	})

	t.Run("postgres is killed", func(t *testing.T) {
		w.t = t
		pid, err := strconv.Atoi(firstLine(t, primary.layout.DataDir+"/postmaster.pid"))
		must(t, err)
		must(t, syscall.Kill(pid, syscall.SIGKILL))

		status := primary.await("runs again", func(s instanceapi.Status) bool { return s.Ready && s.Restarts == 1 })
		if status.Crash == nil || status.Crash.How != "killed by SIGKILL" {
			t.Errorf("it tells of the crash %+v", status.Crash)
		}

		replica.awaitReady()
	})

	t.Run("a new password", func(t *testing.T) {
		w.t = t
		must(t, os.WriteFile(primary.layout.CredentialsDir+"/app/password", []byte("second secret"), 0o644))
		primary.awaitPasswords(map[string]string{"app": "second secret", "postgres": ""})
		must(t, w.login("second secret"))

		if err := w.login("first secret"); err == nil {
			t.Error("the old password still works")
		}

		if strings.Contains(primary.output.String(), "second secret") {
			t.Error("the password is in the log")
		}
	})

	t.Run("superuser access", func(t *testing.T) {
		w.t = t
		superuser := primary.layout.CredentialsDir + "/superuser"
		must(t, os.MkdirAll(superuser, 0o755))
		must(t, os.WriteFile(superuser+"/password", []byte("root secret"), 0o644))
		must(t, primary.put(func(c *instanceapi.Config) { c.SuperuserAccess = true }))
		primary.awaitPasswords(map[string]string{"app": "second secret", "postgres": "root secret"})
		must(t, w.loginAs("postgres", "root secret"))
		must(t, primary.put(func(c *instanceapi.Config) { c.SuperuserAccess = false }))
		primary.awaitPasswords(map[string]string{"app": "second secret", "postgres": ""})

		if err := w.loginAs("postgres", "root secret"); err == nil {
			t.Error("the superuser may still log in")
		}
	})

	t.Run("metrics", func(t *testing.T) {
		w.t = t
		primary.await("sees its replica again", seesReplica)

		body := get(t, "http://"+primary.layout.MetricsAddress+"/metrics")

		for _, want := range []string{
			"caretaker_pg_up 1", "caretaker_pg_is_replica 0", "caretaker_pg_max_connections 30", "caretaker_pg_restarts_total ",
			`caretaker_pg_replication_lag_bytes{replica="demo-1",state="streaming"}`, `caretaker_pg_database_size_bytes{database="app"}`,
			`caretaker_pg_connections{state="idle"}`, `caretaker_pg_replication_slot_retained_bytes{slot="caretaker_demo_1"}`,
			"caretaker_pg_wal_size_bytes", "caretaker_pg_checkpoints_requested_total", "caretaker_pg_archived_segments_total",
		} {
			if !strings.Contains(body, want) {
				t.Errorf("metrics have no %s", want)
			}
		}

		if strings.Contains(body, "scrape_failed") {
			t.Errorf("a query failed:\n%s", body)
		}

		if body := get(t, "http://"+replica.layout.MetricsAddress+"/metrics"); !strings.Contains(body, "caretaker_pg_streaming 1") ||
			strings.Contains(body, "scrape_failed") {
			t.Errorf("the replica's metrics do not say that it streams, or a query failed:\n%s", body)
		}

		w.eventually("dead tuples are counted", func() error {
			time.Sleep(3 * time.Second) // answers are used again for as long

			if !strings.Contains(get(t, "http://"+primary.layout.MetricsAddress+"/metrics"), `caretaker_pg_dead_tuples{database="app"}`) {
				return errors.New("no such metric")
			}

			return nil
		})
	})

	t.Run("the volume is in use", func(t *testing.T) {
		w.t = t
		second := w.start("demo-1", "uid-other")
		second.await("waits for the lock", func(s instanceapi.Status) bool {
			return s.State == instanceapi.StateWaiting && s.Reason == "VolumeLocked"
		})
		second.kill()

		if err := second.awaitEnd(); err == nil {
			t.Error("the second was killed, and ended in order")
		}

		replica.awaitReady()
	})

	t.Run("PID 1 starts again before the mount is renewed", func(t *testing.T) {
		w.t = t
		replica.terminate()

		before := w.config.Parameters["work_mem"]
		w.config.Parameters["work_mem"] = "5MB"
		replica = w.start("demo-1", "uid-1")
		replica.awaitReady()
		must(t, replica.put(func(c *instanceapi.Config) { c.Parameters["work_mem"] = "6MB" }))
		replica.terminate()

		// Mounted is still what was when it was put.
		w.config.Parameters["work_mem"] = "5MB"
		replica = w.start("demo-1", "uid-1")
		replica.awaitReady()
		replica.awaitQuery("SHOW work_mem", "6MB")
		replica.terminate()

		// Mounted is something newer.
		w.config.Parameters["work_mem"] = before
		replica = w.start("demo-1", "uid-1")
		replica.awaitReady()
		replica.awaitQuery("SHOW work_mem", before)
	})

	t.Run("the pod is made anew", func(t *testing.T) {
		w.t = t
		primary.terminate()

		if state := controlState(t, primary); state != "shut down" {
			t.Errorf("after an orderly stop the data are %q", state)
		}

		// It has handed over.
		primary, replica = replica, w.start("demo-0", "uid-new")
		status := primary.await("leads", func(s instanceapi.Status) bool { return s.Ready && s.Role == instanceapi.RolePrimary })

		if record := w.record(); record.Term != 2 || record.Primary.Name != "demo-1" || record.Primary.MemberID != status.MemberID {
			t.Errorf("the record is %+v, want the next term under demo-1", record)
		}

		replica.await("streams", func(s instanceapi.Status) bool { return s.Streaming != nil })
		replica.awaitQuery("SELECT answer FROM kept", "42")
	})

	t.Run("a replica that lost touch is copied anew", func(t *testing.T) {
		w.t = t
		replica.terminate()
		must(t, primary.put(func(c *instanceapi.Config) {
			c.Parameters["wal_keep_size"] = "0"
			c.Parameters["min_wal_size"] = "32MB"
			c.Members = []string{"demo-1"}
		}))
		primary.awaitQuery("SHOW wal_keep_size", "0")
		primary.awaitQuery("SELECT count(*) FROM pg_replication_slots", "0")
		primary.awaitQuery("SHOW synchronous_standby_names", "")

		// What is not archived yet is kept.
		segment := primary.mustQuery("SELECT pg_walfile_name(pg_current_wal_lsn())")
		w.eventually("the log that the replica needs is gone", func() error {
			primary.mustQuery("CREATE TABLE more AS SELECT 1; DROP TABLE more; SELECT pg_switch_wal(); CHECKPOINT")

			if left := primary.mustQuery("SELECT count(*) FROM pg_ls_waldir() WHERE name <= '" + segment + "' AND name ~ '^[0-9A-F]{24}$'"); left != "0" {
				return errors.New(left + " segments are left")
			}

			return nil
		})

		must(t, primary.put(func(c *instanceapi.Config) { c.Members = []string{"demo-0", "demo-1"} }))

		member := replica.memberID()
		replica = w.start("demo-0", "uid-1b")
		status := replica.await("streams after a new copy", func(s instanceapi.Status) bool { return s.Ready && s.Streaming != nil })

		if status.MemberID == member {
			t.Errorf("the member is %s still: what it acknowledged is gone from its volume", member)
		}

		if !strings.Contains(replica.output.String(), "discarding the data") {
			t.Error("it was not copied anew; the test does not test what it should")
		}
	})
}

func seesReplica(s instanceapi.Status) bool {
	return len(s.Replicas) == 1 && s.Replicas[0].Instance == "demo-1" && s.Replicas[0].State == "streaming"
}

// changeMaxConnections puts a new value to both, and restarts them in order, as the operator does.
func (w *world) changeMaxConnections(order []*member, value int) {
	w.t.Helper()

	want := strconv.Itoa(value)
	for _, m := range order {
		must(w.t, m.put(func(c *instanceapi.Config) { c.Parameters["max_connections"] = want }))
	}

	for _, m := range order {
		m.await("waits for a restart", func(s instanceapi.Status) bool {
			for _, pending := range s.PendingRestart {
				if pending.Name == "max_connections" && pending.Configured == want {
					return true
				}
			}

			return false
		})

		request := instanceapi.RestartRequest{Reason: "max_connections changed"}
		must(w.t, w.client.Restart(context.Background(), m.target(), request))

		if err := w.client.Restart(context.Background(), m.target(), request); !instanceclient.IsRefused(err) {
			w.t.Errorf("%s: a second order at once got %v, want a refusal", m.name, err)
		}

		m.awaitQuery("SHOW max_connections", want)

		if status := m.awaitReady(); len(status.PendingRestart) > 0 || status.Restarts > 0 {
			w.t.Errorf("%s: pending %v, %d restarts: want none, and an ordered restart not to count", m.name, status.PendingRestart, status.Restarts)
		}
	}
}

func TestPostgreSQLThatCannotStart(t *testing.T) {
	w := newWorld(t, "demo-0")
	m := w.start("demo-0", "uid-0")
	m.awaitReady()

	must(t, m.put(func(c *instanceapi.Config) { c.SharedPreloadLibraries = []string{"no_such_library"} }))
	must(t, w.client.Restart(context.Background(), m.target(), instanceapi.RestartRequest{}))
	status := m.await("says why", func(s instanceapi.Status) bool { return s.State == instanceapi.StateFailed })

	if status.Reason != "PostgreSQLFails" || !strings.Contains(status.Message, "no_such_library") {
		t.Errorf("%s: %s, want the library named", status.Reason, status.Message)
	}

	must(t, m.put(func(c *instanceapi.Config) { c.SharedPreloadLibraries = nil }))
	m.awaitReady()
}

// TestReplicaIsTrusted: the record is lost, and a person has named the replica's volume to go on from.
func TestReplicaIsTrusted(t *testing.T) {
	w := newWorld(t, "demo-0", "demo-1")
	primary, replica := w.start("demo-0", "uid-0"), w.start("demo-1", "uid-1")

	primary.awaitReady()
	replica.awaitReady()
	primary.mustQuery("CREATE TABLE kept AS SELECT 42 AS answer")
	replica.awaitQuery("SELECT answer FROM kept", "42")
	primary.terminate()
	replica.terminate()
	must(t, os.Remove(w.store.path))

	replica = w.start("demo-1", "uid-1b")
	replica.await("serves reads, and waits for the record", func(s instanceapi.Status) bool {
		return s.State == instanceapi.StateRunning && s.Role == instanceapi.RoleReplica
	})
	must(t, w.store.write(fileRecord{Version: 9, Spec: postgresqlv1.ClusterTermSpec{Bootstrap: "demo-1"}}))
	must(t, os.Chmod(w.store.path, 0o666))

	status := replica.await("leads", func(s instanceapi.Status) bool { return s.Ready && s.Role == instanceapi.RolePrimary })

	if replica.mustQuery("SELECT answer FROM kept") != "42" {
		t.Errorf("it leads without the data")
	}

	// Beyond all that a volume may know of: the other one has been in term 1 or 2.
	if record := w.record(); record.Term < 1000 || record.Timeline < 10 || record.Primary.MemberID != status.MemberID {
		t.Errorf("the record is %+v", record)
	}

	replica.mustQuery("CREATE TABLE more AS SELECT 1")
}

func TestCertificatesAreRenewed(t *testing.T) {
	w := newWorld(t, "demo-0")
	m := w.start("demo-0", "uid-0")
	m.awaitReady()

	started := m.mustQuery("SELECT pg_postmaster_start_time()")
	renewed, err := pki.Plan(pki.Input{
		Cluster: "demo", Namespace: "test", DNSNames: pki.DNSNames("demo", "test"), Now: time.Now(), OwnCA: w.certs.CA,
	})
	must(t, err)

	// One file at a time, as a kubelet may show them: a pair that does not fit is not taken over.
	dir := m.layout.CertificatesDir + "/server/"
	must(t, os.WriteFile(dir+"tls.crt", renewed.Server["tls.crt"], 0o644))

	if _, err := m.status(); err != nil {
		t.Errorf("with half of a new pair: %v", err)
	}

	must(t, os.WriteFile(dir+"tls.key", renewed.Server["tls.key"], 0o644))

	block, _ := pem.Decode(renewed.Server["tls.crt"])
	want, err := x509.ParseCertificate(block.Bytes)
	must(t, err)

	w.eventually("the status server shows the new certificate", func() error {
		return shows(m.layout.StatusAddress, want)
	})
	w.eventually("PostgreSQL shows the new certificate", func() error {
		return postgresShows(w.ports["demo-0"], want)
	})

	if again := m.mustQuery("SELECT pg_postmaster_start_time()"); again != started {
		t.Error("PostgreSQL was restarted for it")
	}
}

func shows(address string, want *x509.Certificate) error {
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // only read from

	return sameSerial(conn, want)
}

// postgresShows asks for TLS as the protocol has it: an SSLRequest, the answer S, then the handshake.
func postgresShows(port int, want *x509.Certificate) error {
	raw, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	defer raw.Close() //nolint:errcheck // only read from

	if _, err := raw.Write([]byte{0, 0, 0, 8, 4, 210, 22, 47}); err != nil {
		return err
	}

	if _, err := io.ReadFull(raw, make([]byte, 1)); err != nil {
		return err
	}

	conn := tls.Client(raw, &tls.Config{InsecureSkipVerify: true})
	if err := conn.Handshake(); err != nil {
		return err
	}

	return sameSerial(conn, want)
}

func sameSerial(conn *tls.Conn, want *x509.Certificate) error {
	if got := conn.ConnectionState().PeerCertificates[0]; got.SerialNumber.Cmp(want.SerialNumber) != 0 {
		return errors.New("it shows another")
	}

	return nil
}

func TestBootstrapThatFails(t *testing.T) {
	w := newWorld(t, "demo-0")
	w.config.Bootstrap.InitDB.PostInitSQL = []string{"SELECT 1", "CREATE TABLE t (a nonsense)"}

	status := w.start("demo-0", "uid-0").await("has failed", func(s instanceapi.Status) bool { return s.State == instanceapi.StateFailed })

	for _, want := range []string{"postInitSQL[1]", "CREATE TABLE t (a nonsense)", "42704"} {
		if !strings.Contains(status.Message, want) {
			t.Errorf("%q does not name %s", status.Message, want)
		}
	}

	if status.Reason != "BootstrapFailed" || status.Ready {
		t.Errorf("reason %s, ready %v: want BootstrapFailed", status.Reason, status.Ready)
	}

	if left, _ := filepath.Glob(filepath.Join(w.root, "demo-0/volume/pgdata*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestExternalServerIsCopied(t *testing.T) {
	w := newWorld(t, "demo-0")
	w.config.HBA = []string{"hostssl replication copier all scram-sha-256"}
	source := w.start("demo-0", "uid-0")
	source.awaitReady()
	source.mustQuery("CREATE ROLE copier REPLICATION LOGIN PASSWORD 'copy me'")
	source.mustQuery("CREATE TABLE kept AS SELECT 42 AS answer")

	other := newWorld(t, "demo-0")
	other.config.Bootstrap = instanceapi.Bootstrap{PgBaseBackup: &instanceapi.PgBaseBackup{
		Source: "old",
		ConnectionParameters: map[string]string{
			"host": "127.0.0.1", "port": strconv.Itoa(w.ports["demo-0"]), "user": "copier", "sslmode": "verify-ca",
		},
		Database: "app", Owner: "app",
	}}
	external := filepath.Join(other.root, "demo-0/external/old")
	must(t, os.MkdirAll(external, 0o755))
	must(t, os.WriteFile(external+"/password", []byte("copy me"), 0o644))
	must(t, os.WriteFile(external+"/ca.crt", w.certs.ServerCABundle, 0o644))

	copied := other.start("demo-0", "uid-0")
	status := copied.awaitReady()

	if status.Role != instanceapi.RolePrimary || copied.mustQuery("SELECT answer FROM kept") != "42" {
		t.Errorf("the copy is a %s without the data", status.Role)
	}

	must(t, other.login("first secret"))
}

func TestStatusServerDemandsACertificate(t *testing.T) {
	w := newWorld(t, "demo-0")
	m := w.start("demo-0", "uid-0")
	m.awaitReady()

	target := m.target()
	target.ClientCert, target.ClientKey = w.certs.Server["tls.crt"], w.certs.Server["tls.key"]

	if _, err := w.client.Status(context.Background(), target); err == nil {
		t.Error("the server's certificate opens the status: want only the replication user's to")
	}

	for path, want := range map[string]int{
		instanceapi.PathHealthz: 200, instanceapi.PathReadyz: 200, instanceapi.PathStartupz: 200, instanceapi.PathStatus: 403,
	} {
		client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}

		response, err := client.Get("https://" + m.layout.StatusAddress + path)
		must(t, err)
		must(t, response.Body.Close())

		if response.StatusCode != want {
			t.Errorf("without a certificate %s answers %d, want %d", path, response.StatusCode, want)
		}
	}

	target = m.target()
	target.Name = "demo-7"

	if _, err := w.client.Status(context.Background(), target); !instanceclient.IsUnreachable(err) {
		t.Errorf("got %v, want an answer of another instance to be refused", err)
	}
}

// terminate ends the pod in an orderly way and waits for it.
func (m *member) terminate() {
	m.w.t.Helper()
	must(m.w.t, m.cmd.Process.Signal(syscall.SIGTERM))

	if err := m.awaitEnd(); err != nil {
		m.w.t.Errorf("%s ended with %v", m.name, err)
	}
}

func (m *member) awaitEnd() error {
	m.w.t.Helper()

	select {
	case err := <-m.ended:
		return err
	case <-time.After(time.Minute):
		m.w.t.Fatalf("%s does not end", m.name)

		return nil
	}
}

func (m *member) memberID() string {
	m.w.t.Helper()

	content, err := os.ReadFile(m.layout.StateDir + "/member.json")
	must(m.w.t, err)

	_, rest, _ := strings.Cut(string(content), `"id":"`)

	return rest[:16]
}

func controlState(t *testing.T, m *member) string {
	t.Helper()

	content, err := os.ReadFile(m.layout.DataDir + "/global/pg_control")
	must(t, err)

	// DBState follows system identifier, two versions: see src/include/catalog/pg_control.h.
	states := []string{"starting up", "shut down", "shut down in recovery", "shutting down", "in crash recovery", "in archive recovery", "in production"}
	if state := int(content[16]); state < len(states) {
		return states[state]
	}

	return fmt.Sprintf("state %d", content[16])
}

func firstLine(t *testing.T, path string) string {
	t.Helper()

	content, err := os.ReadFile(path)
	must(t, err)

	line, _, _ := strings.Cut(string(content), "\n")

	return line
}

func get(t *testing.T, url string) string {
	t.Helper()

	response, err := http.Get(url)
	must(t, err)
	defer response.Body.Close() //nolint:errcheck // only read from

	body, err := io.ReadAll(response.Body)
	must(t, err)

	return string(body)
}
