package apiserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	caretakerappsv1 "github.com/caretaker-dev/caretaker/api/apps/v1"
	backupv1 "github.com/caretaker-dev/caretaker/api/backup/v1"
	configv1 "github.com/caretaker-dev/caretaker/api/config/v1"
	databasev1 "github.com/caretaker-dev/caretaker/api/database/v1"
	platformv1 "github.com/caretaker-dev/caretaker/api/platform/v1"
	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
)

// The environment variables that choose and demand an API server.
const (
	EnvKubeconfig = "CARETAKER_APISERVER_KUBECONFIG"
	EnvRequire    = "CARETAKER_REQUIRE_API"
)

// startTimeout covers building the programs, too, should they not be there yet.
const startTimeout = 20 * time.Minute

// Server is a running API server with Caretaker's CRDs.
type Server struct {
	// Config has every right.
	Config *rest.Config
	// Client knows the kinds of Kubernetes and of Caretaker.
	Client client.WithWatch
	// AuditLog is the path of the audit log; empty if it is not known.
	AuditLog string

	stop func(context.Context) error
}

// Suite holds the API server of a test binary, or why there is none.
type Suite struct {
	server *Server
	err    error
}

// Run starts the API server, runs the tests and stops it again; the result is the exit code.
func (s *Suite) Run(m *testing.M) int {
	ctx := context.Background()
	s.server, s.err = Start(ctx)

	code := m.Run()

	if s.server != nil {
		if err := s.server.Stop(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "stop the API server:", err)

			return max(code, 1)
		}
	}

	return code
}

// Server is the suite's API server. Without one the test ends: skipped, or failed where it is required.
func (s *Suite) Server(t *testing.T) *Server {
	t.Helper()

	if s.err == nil {
		return s.server
	}

	if os.Getenv(EnvRequire) == "1" {
		t.Fatalf("no API server: %v", s.err)
	}

	t.Skipf("no API server: %v", s.err)

	return nil
}

// Start finds or starts an API server and installs the CRDs.
func Start(ctx context.Context) (*Server, error) {
	root, err := moduleRoot()
	if err != nil {
		return nil, err
	}

	server := &Server{stop: func(context.Context) error { return nil }}

	kubeconfig := os.Getenv(EnvKubeconfig)
	if kubeconfig == "" {
		kubeconfig, err = server.startDevcluster(ctx, root)
		if err != nil {
			return nil, err
		}
	}

	if err := server.connect(ctx, root, kubeconfig); err != nil {
		return nil, errors.Join(err, server.Stop(ctx))
	}

	return server, nil
}

// Stop ends what Start has started.
func (s *Server) Stop(ctx context.Context) error { return s.stop(ctx) }

// Scheme knows the kinds that tests read and write.
func Scheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	err := errors.Join(
		clientgoscheme.AddToScheme(scheme),
		apiextensionsv1.AddToScheme(scheme),
		postgresqlv1.AddToScheme(scheme),
		databasev1.AddToScheme(scheme),
		backupv1.AddToScheme(scheme),
		caretakerappsv1.AddToScheme(scheme),
		configv1.AddToScheme(scheme),
		platformv1.AddToScheme(scheme),
	)

	return scheme, err
}

func (s *Server) connect(ctx context.Context, root, kubeconfig string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return fmt.Errorf("read kubeconfig %s: %w", kubeconfig, err)
	}

	// Tests make many short calls; the client's default would make them wait in line.
	config.QPS, config.Burst = 500, 1000

	scheme, err := Scheme()
	if err != nil {
		return fmt.Errorf("build scheme: %w", err)
	}

	s.Config = config

	s.Client, err = client.NewWithWatch(config, client.Options{Scheme: scheme})
	if err != nil {
		return fmt.Errorf("make client: %w", err)
	}

	return s.installCRDs(ctx, root)
}

// startDevcluster starts a control plane in a temporary folder; the result is the path of its kubeconfig.
func (s *Server) startDevcluster(ctx context.Context, root string) (string, error) {
	program := filepath.Join(root, "bin", "devcluster")
	if _, err := os.Stat(program); err != nil {
		return "", fmt.Errorf("%w: run `make bin/devcluster`, or set %s", err, EnvKubeconfig)
	}

	state, err := os.MkdirTemp("", "caretaker-api-")
	if err != nil {
		return "", fmt.Errorf("make state folder: %w", err)
	}

	s.stop = func(ctx context.Context) error {
		out, err := exec.CommandContext(ctx, program, "down", "--dir", state).CombinedOutput()
		if err != nil {
			err = fmt.Errorf("devcluster down: %w\n%s", err, out)
		}

		return errors.Join(err, os.RemoveAll(state))
	}

	startCtx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()

	out, err := exec.CommandContext(startCtx, program, "up", "--control-plane-only", "--dir", state).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("devcluster up --control-plane-only: %w\n%s", err, out)

		return "", errors.Join(err, s.stop(ctx))
	}

	s.AuditLog = filepath.Join(state, "logs", "audit.log")

	return filepath.Join(state, "kubeconfig"), nil
}

// moduleRoot is the folder of go.mod above the test's own.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}

	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}

		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("find the module: no go.mod above the current folder")
		}

		dir = parent
	}
}
