package stores

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/caretaker-dev/caretaker/internal/storeconfig"
	"github.com/caretaker-dev/caretaker/internal/testport"
)

// The versions in use; hack/stores.sh installs the same (a test compares them).
const (
	versityVersion = "v1.8.0"
	fakeGCSVersion = "v1.56.0"
	azuriteVersion = "3.35.0"
)

const (
	bucket = "caretaker-test"
	// startDeadline is generous: node on a busy machine takes its time.
	startDeadline = 3 * time.Minute

	s3Access, s3Secret = "caretaker-test", "not-a-secret-only-a-test"
	// The account and key that azurite documents for everyone.
	azureAccount = "devstoreaccount1"
	azureKey     = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

// Server is a running store with an empty bucket.
type Server struct {
	Config storeconfig.Config
	// Dir is where the store keeps its data.
	Dir string

	t       testing.TB
	command func() *exec.Cmd
	ready   func(context.Context) error
	running *exec.Cmd
	done    chan error
}

// Dir is a store in a directory.
func Dir(t testing.TB) storeconfig.Config {
	t.Helper()

	return storeconfig.Config{Type: storeconfig.TypeDir, Bucket: t.TempDir()}
}

// S3 starts versitygw.
func S3(t testing.TB) *Server {
	t.Helper()

	program := installed(t, "versitygw-"+versityVersion)
	address, dir := testport.Address(t), t.TempDir()

	if err := os.MkdirAll(filepath.Join(dir, "data", bucket), 0o755); err != nil {
		t.Fatal(err)
	}

	credentials := storeconfig.Credentials{
		AccessKeyIDFile: value(t, "access", s3Access), SecretAccessKeyFile: value(t, "secret", s3Secret),
	}
	server := &Server{
		t: t, Dir: filepath.Join(dir, "data"),
		Config: storeconfig.Config{
			Type: storeconfig.TypeS3, Bucket: bucket, Endpoint: "http://" + address, Region: "us-east-1", Credentials: credentials,
		},
		command: func() *exec.Cmd {
			return exec.Command(program, "--access", s3Access, "--secret", s3Secret, "--port", address, "--quiet",
				"posix", filepath.Join(dir, "data"))
		},
		ready: answers("http://" + address),
	}
	server.Start()

	return server
}

// GCS starts fake-gcs-server.
func GCS(t testing.TB) *Server {
	t.Helper()

	program := installed(t, "fake-gcs-server-"+fakeGCSVersion)
	address, dir := testport.Address(t), t.TempDir()
	host, port, _ := net.SplitHostPort(address)
	server := &Server{
		t: t, Dir: dir,
		Config: storeconfig.Config{
			Type: storeconfig.TypeGCS, Bucket: bucket, Endpoint: "http://" + address,
			Credentials: storeconfig.Credentials{Anonymous: true},
		},
		command: func() *exec.Cmd {
			return exec.Command(program, "-scheme", "http", "-host", host, "-port", port, "-public-host", address,
				"-backend", "filesystem", "-filesystem-root", dir, "-log-level", "error")
		},
		ready: func(ctx context.Context) error {
			body := bytes.NewBufferString(`{"name":"` + bucket + `"}`)

			return expect(ctx, http.MethodPost, "http://"+address+"/storage/v1/b?project=test", body, http.StatusOK, http.StatusConflict)
		},
	}
	server.Start()

	return server
}

// Azure starts azurite's blob service.
func Azure(t testing.TB) *Server {
	t.Helper()

	node, err := exec.LookPath("node")
	if err != nil {
		missing(t, "node is not installed, which azurite runs on")
	}

	program := filepath.Join(installed(t, "azurite-"+azuriteVersion), "node_modules/azurite/dist/src/blob/main.js")
	address, dir := testport.Address(t), t.TempDir()
	host, port, _ := net.SplitHostPort(address)
	endpoint := "http://" + address + "/" + azureAccount
	server := &Server{
		t: t, Dir: dir,
		Config: storeconfig.Config{
			Type: storeconfig.TypeAzure, Bucket: bucket, Endpoint: endpoint, Account: azureAccount,
			Credentials: storeconfig.Credentials{AzureKeyFile: value(t, "key", azureKey)},
		},
		command: func() *exec.Cmd {
			return exec.Command(node, program, "--blobHost", host, "--blobPort", port, "--location", dir, "--silent",
				"--skipApiVersionCheck", "--disableTelemetry")
		},
		ready: func(ctx context.Context) error { return makeContainer(ctx, endpoint) },
	}
	server.Start()

	return server
}

func makeContainer(ctx context.Context, endpoint string) error {
	credential, err := container.NewSharedKeyCredential(azureAccount, azureKey)
	if err != nil {
		return err
	}

	client, err := container.NewClientWithSharedKeyCredential(endpoint+"/"+bucket, credential, nil)
	if err != nil {
		return err
	}

	if _, err = client.GetProperties(ctx, nil); err == nil {
		return nil
	}

	_, err = client.Create(ctx, nil)

	return err
}

// Start the server, again after Kill: on the same address, with the same data. It is ended with the test.
func (s *Server) Start() {
	s.t.Helper()

	var output bytes.Buffer

	s.running = s.command()
	s.running.Stdout, s.running.Stderr = &output, &output
	// It dies with the test's process, however that ends.
	s.running.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}

	if err := s.running.Start(); err != nil {
		s.t.Fatal(err)
	}

	s.done = make(chan error, 1)

	go func(command *exec.Cmd, done chan<- error) { done <- command.Wait() }(s.running, s.done)

	s.t.Cleanup(s.Kill)

	for deadline := time.Now().Add(startDeadline); ; time.Sleep(50 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Second)
		err := s.ready(ctx)

		cancel()

		if err == nil {
			return
		}

		select {
		case waitErr := <-s.done:
			s.t.Fatalf("the store ended at once: %v\n%s", waitErr, output.String())
		default:
		}

		if time.Now().After(deadline) {
			s.t.Fatalf("the store does not answer: %v", err)
		}
	}
}

// Kill the server, as a crash would.
func (s *Server) Kill() {
	if s.running == nil {
		return
	}

	_ = s.running.Process.Kill()
	<-s.done //nolint:errcheck // the error says that it was killed
	s.running = nil
}

// answers is ready for a server that gives any HTTP answer.
func answers(url string) func(context.Context) error {
	return func(ctx context.Context) error { return expect(ctx, http.MethodGet, url, nil) }
}

func expect(ctx context.Context, method, url string, body io.Reader, statuses ...int) (err error) {
	request, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return err
	}

	request.Header.Set("Content-Type", "application/json")

	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()

	if slices.Contains(statuses, response.StatusCode) {
		return nil
	}

	if len(statuses) > 0 {
		return fmt.Errorf("%s %s: %s", method, url, response.Status)
	}

	return nil
}

// installed gives a program from the cache.
func installed(t testing.TB, name string) string {
	t.Helper()

	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}

	path := filepath.Join(cache, "caretaker", "stores", name)
	if _, err := os.Stat(path); err != nil {
		missing(t, name+" is not installed: run hack/stores.sh")
	}

	return path
}

func missing(t testing.TB, why string) {
	t.Helper()

	if required, _ := strconv.ParseBool(os.Getenv("CARETAKER_REQUIRE_STORES")); required {
		t.Fatal(why)
	}

	t.Skip(why)
}

// value is a file with a credential.
func value(t testing.TB, name, content string) string {
	t.Helper()

	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	return path
}
