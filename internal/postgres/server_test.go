package postgres

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// These tests ask a real server whether it agrees with this package:
//
//	POSTGRES_BINDIR=/usr/lib/postgresql/17/bin go test ./internal/postgres -run TestServer
//
// Without POSTGRES_BINDIR they are skipped.

// realServer is a fresh data directory and the programs to run on it.
type realServer struct {
	bin, dir string
	major    int
}

func newRealServer(t *testing.T) realServer {
	t.Helper()
	bin := os.Getenv("POSTGRES_BINDIR")
	if bin == "" {
		t.Skip("POSTGRES_BINDIR names no PostgreSQL installation")
	}
	s := realServer{bin: bin, dir: t.TempDir()}
	if os.Getuid() == 0 {
		if err := errors.Join(os.Chmod(filepath.Dir(s.dir), 0o755), os.Chown(s.dir, nobody, nobody)); err != nil {
			t.Fatal(err)
		}
	}
	version, err := ParseVersion(s.mustRun(t, s.command("postgres", "-V")))
	if err != nil {
		t.Fatal(err)
	}
	s.major = version.Major
	s.mustRun(t, s.command("initdb", "-D", s.path("data"), "-U", "postgres", "--auth=trust", "--no-sync", "--no-locale"))
	return s
}

// nobody is the user that servers run as when the test runs as root, which they refuse.
const nobody = 65534

func (s realServer) path(name string) string { return filepath.Join(s.dir, name) }

func (s realServer) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, program), args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "TMPDIR="+s.dir)
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	return cmd
}

func (s realServer) mustRun(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
	return string(out)
}

func (s realServer) write(t *testing.T, name, content string) string {
	t.Helper()
	path := s.path(name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 {
		if err := os.Chown(path, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// query runs one statement in single-user mode and gives what it copies out.
func (s realServer) query(t *testing.T, query string, args ...string) string {
	t.Helper()
	out := s.path("out")
	cmd := s.command("postgres", append([]string{"--single", "-D", s.path("data")}, append(args, "postgres")...)...)
	cmd.Stdin = strings.NewReader("COPY (" + query + ") TO '" + out + "'\n")
	log := s.mustRun(t, cmd)
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	return string(text)
}

//nolint:dupword // "all" is a keyword of several columns
func TestServerStartsWithOurConfiguration(t *testing.T) {
	s := newRealServer(t)
	certificate, key := selfSigned(t)
	in := input(s.major)
	in.User = map[string]string{"work_mem": "8MB", "wal_level": "logical"}
	in.ArchiveCommand, in.MemoryLimitBytes = "", 256*mib
	in.Paths = Paths{
		Sockets: s.dir, Logs: s.path("log"),
		HBA:        s.write(t, "pg_hba.conf", RenderHBA(HBAInput{Rules: []string{"hostssl all all 10.0.0.0/8 cert"}})),
		Ident:      s.write(t, "pg_ident.conf", RenderIdent(IdentInput{})),
		ServerCert: s.write(t, "tls.crt", certificate), ServerKey: s.write(t, "tls.key", key), ClientCA: s.write(t, "ca.crt", certificate),
	}
	in.PrimaryConnInfo = ConnInfo{Host: "10.0.0.1", User: ReplicationUser, Password: `it's\`, ApplicationName: "m 1"}.String()
	in.Overrides = map[string]string{"listen_addresses": "127.0.0.1", "port": "54397"}
	conf := s.write(t, "postgresql.conf", RenderConf(Settings(in)))

	server := s.command("postgres", "-D", s.path("data"), "-c", "config_file="+conf)
	var output bytes.Buffer
	server.Stdout, server.Stderr = &output, &output
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Wait() }()
	defer func() {
		_ = server.Process.Signal(syscall.SIGQUIT)
		if err := <-ended; err == nil {
			t.Log("the server ended by itself")
		}
	}()
	structured := filepath.Join(in.Paths.Logs, LogFile(s.major))
	deadline := time.Now().Add(20 * time.Second)
	for {
		log, _ := os.ReadFile(structured)
		if bytes.Contains(log, []byte("database system is ready to accept connections")) {
			break
		}
		if len(ended) > 0 || time.Now().After(deadline) {
			t.Fatalf("the server did not start:\n%s%s", output.String(), log)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestServerAgreesOnValues(t *testing.T) {
	s := newRealServer(t)
	for name, values := range map[string][]string{
		"autovacuum":                   {"on", "OFF", "t", "tru", "of", "o", "yes", "n", "1", "2", "", "maybe"},
		"work_mem":                     {"4MB", "64", "63", "64kB", "0.1MB", "65536 B", "1TB", "2TB", "3GB", "10mb", "4 MB", " 4MB ", "4M", "-1", "0x40", "0100", "08", "1e3", "1e3kB", "", "x", "4MBs"},
		"shared_buffers":               {"16", "15", "128kB", "127kB", "1073741823", "1073741824", "200.5MB", "0.0001GB"},
		"checkpoint_timeout":           {"30", "29", "30s", "29.6s", "29.4s", "0.5min", "1d", "25h", "86400", "60000ms", "60000000us", "1 min", "1m", "1MB"},
		"statement_timeout":            {"0", "-1", "24d", "25d", "2147483647", "2147483648", "1.5us", "1h"},
		"max_connections":              {"1", "0", "262144", "100.4", "1e2", "10kB"},
		"random_page_cost":             {"1.1", "-0.1", "1e308", "nan", "inf", ".5", "5.", "4x", "0x10"},
		"checkpoint_completion_target": {"0", "1", "1.01", "0.9"},
		"vacuum_cost_delay":            {"2", "2ms", "100", "101", "0.1s", "1s", "1500us"},
		"synchronous_commit":           {"on", "ON", "remote_apply", "true", "yes", "1", "t", "sometimes", "Local"},
		"wal_level":                    {"replica", "Logical", "none"},
		"client_min_messages":          {"debug", "debug2", "notice", "loud"},
		"wal_compression":              {"on", "off", "pglz", "1", "gzip"},
		"backslash_quote":              {"safe_encoding", "on", "true", "maybe"},
		"ssl_min_protocol_version":     {"TLSv1.2", "tlsv1.3", "SSLv3"},
		"max_slot_wal_keep_size":       {"-1", "1GB", "-2", "10"},
		"log_rotation_size":            {"0", "2097151kB", "2GB", "4TB"},
		"io_method":                    {"worker", "magic"},
		"old_snapshot_threshold":       {"1h", "x"},
		"my.parameter":                 {"anything"},
	} {
		for _, value := range values {
			problem := ""
			if parameter, ok := Lookup(s.major, name); ok {
				problem = parameter.checkValue(value)
			} else if !strings.Contains(name, ".") {
				problem = "unknown"
			}
			out, err := s.command("postgres", "-D", s.path("data"), "-c", name+"="+value, "-C", "work_mem").CombinedOutput()
			if (err == nil) != (problem == "") {
				t.Errorf("%s = %q: we say %q, the server %v: %s", name, value, problem, err, out)
			}
		}
	}
}

func TestServerAgreesOnHBA(t *testing.T) {
	s := newRealServer(t)
	var cases []hbaCase
	var file strings.Builder
	for _, tc := range hbaCases() {
		if tc.strict || tc.major != 0 && tc.major != s.major {
			continue
		}
		cases = append(cases, tc)
		file.WriteString(tc.rule + "\n")
	}
	hba := s.write(t, "pg_hba.conf", file.String())
	refused := map[int]string{}
	args := []string{"-c", "hba_file=" + hba, "-c", "ssl=on"}
	if s.major >= 18 {
		args = append(args, "-c", "oauth_validator_libraries=any")
	}
	// Some errors come without a text: then the columns are empty.
	query := "SELECT line_number, coalesce(error, 'error') FROM pg_hba_file_rules WHERE error IS NOT NULL OR type IS NULL"
	for line := range strings.Lines(s.query(t, query, args...)) {
		var number int
		if _, err := fmt.Sscan(line, &number); err != nil {
			t.Fatal(err)
		}
		refused[number] = line
	}
	for i, tc := range cases {
		message := refused[i+1]
		if strings.Contains(message, "by this build") {
			continue // what a server was built without is no concern of ours
		}
		if (message == "") != (tc.want == "") {
			t.Errorf("%s: we say %q, the server %q", tc.rule, tc.want, message)
		}
	}
}

func selfSigned(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}))
}
