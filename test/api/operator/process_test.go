package operator

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/operator"
	"github.com/caretaker-dev/caretaker/internal/testport"
)

// process is an operator in this test's own process, with a controller that only counts.
type process struct {
	probes, metrics string
	log             *syncBuffer
	passes          atomic.Int64
	stop            context.CancelFunc
	ended           chan error
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.b.String()
}

// startProcess starts an operator whose controller only counts.
func startProcess(t *testing.T, connection *rest.Config, arguments ...string) *process {
	t.Helper()

	return start(t, connection, nil, arguments...)
}

func start(t *testing.T, connection *rest.Config, setup operator.Setup, arguments ...string) *process {
	t.Helper()

	p := &process{probes: testport.Address(t), metrics: testport.Address(t), log: &syncBuffer{}, ended: make(chan error, 1)}

	var options operator.Options

	flags := pflag.NewFlagSet("operator", pflag.ContinueOnError)
	options.AddFlags(flags)

	arguments = append([]string{
		"--operator-image=example.org/caretaker:v1", "--log-level=debug",
		"--health-probe-bind-address=" + p.probes, "--metrics-bind-address=" + p.metrics,
	}, arguments...)
	if err := flags.Parse(arguments); err != nil {
		t.Fatal(err)
	}

	if err := options.Validate(); err != nil {
		t.Fatal(err)
	}

	logger, err := operator.NewLogger(p.log, options.LogLevel, options.LogFormat)
	if err != nil {
		t.Fatal(err)
	}

	if setup == nil {
		setup = p.count
	}

	ctx, cancel := context.WithCancel(context.Background())
	p.stop = cancel

	go func() { p.ended <- operator.Run(ctx, connection, options, clock.RealClock{}, logger, setup) }()

	t.Cleanup(func() {
		cancel()

		if t.Failed() {
			t.Log(p.log.String())
		}
	})

	return p
}

func (p *process) count(manager ctrl.Manager) error {
	skip := true

	return ctrl.NewControllerManagedBy(manager).
		For(&postgresqlv1.Cluster{}).
		WithOptions(controller.Options{SkipNameValidation: &skip}).
		Complete(reconcile.Func(func(context.Context, reconcile.Request) (reconcile.Result, error) {
			p.passes.Add(1)

			return reconcile.Result{}, nil
		}))
}

func (p *process) get(path string) (int, string) {
	return read(http.Get("http://" + p.probes + path)) //nolint:bodyclose // read closes it
}

func read(response *http.Response, err error) (int, string) {
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = response.Body.Close() }()

	body, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}

	return response.StatusCode, string(body)
}

func eventually(t *testing.T, within time.Duration, what string, check func() error) {
	t.Helper()

	deadline := time.Now().Add(within)

	for {
		err := check()
		if err == nil {
			return
		}

		if time.Now().After(deadline) {
			t.Fatalf("%s, within %v: %v", what, within, err)
		}

		time.Sleep(50 * time.Millisecond)
	}
}

func (p *process) ready() error {
	if code, body := p.get("/readyz"); code != http.StatusOK {
		return fmt.Errorf("/readyz says %d: %s", code, body)
	}

	return nil
}

// fault stands between an operator and the real API server.
type fault struct {
	proxy *httptest.Server
	// hide makes our kinds unknown, cut refuses everything.
	hide, cut atomic.Bool
}

func newFault(t *testing.T, connection *rest.Config) (*fault, *rest.Config) {
	t.Helper()

	target, err := url.Parse(connection.Host)
	if err != nil {
		t.Fatal(err)
	}

	transport, err := rest.TransportFor(connection)
	if err != nil {
		t.Fatal(err)
	}

	f := &fault{}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.Transport = transport
	proxy.FlushInterval = -1
	proxy.ErrorLog = nil
	f.proxy = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case f.cut.Load():
			panic(http.ErrAbortHandler)
		case f.hide.Load() && strings.HasPrefix(r.URL.Path, "/apis/"+postgresqlv1.GroupVersion.Group):
			http.NotFound(w, r)
		default:
			proxy.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(f.proxy.Close)
	t.Cleanup(f.proxy.CloseClientConnections)

	return f, &rest.Config{Host: f.proxy.URL}
}

func TestReadinessMeansItCanWork(t *testing.T) {
	server := suite.Server(t)
	faults, connection := newFault(t, server.Config)
	faults.hide.Store(true)

	p := startProcess(t, connection)

	eventually(t, 10*time.Second, "it should say what is missing and what to do", func() error {
		code, body := p.get("/readyz")
		if code != http.StatusServiceUnavailable || !strings.Contains(body, "install the CRDs") {
			return fmt.Errorf("/readyz says %d: %s", code, body)
		}

		return nil
	})

	if code, body := p.get("/healthz"); code != http.StatusOK {
		t.Errorf("without CRDs a restart would not help, but /healthz says %d: %s", code, body)
	}

	// The probe may know it a moment before the log has it.
	eventually(t, 10*time.Second, "the log should say what is missing", func() error {
		if !strings.Contains(p.log.String(), "install the CRDs") {
			return fmt.Errorf("it says %s", p.log.String())
		}

		return nil
	})

	if text := p.log.String(); strings.Contains(text, "goroutine") || strings.Count(text, "install the CRDs") != 1 {
		t.Errorf("the log should say once what is missing, and no more:\n%s", text)
	}

	faults.hide.Store(false)
	eventually(t, 15*time.Second, "it should be ready once the CRDs are there", p.ready)

	faults.cut.Store(true)
	eventually(t, 10*time.Second, "it should not be ready while the API server is away", func() error {
		if p.ready() == nil {
			return fmt.Errorf("/readyz says ok")
		}

		return nil
	})

	if code, _ := p.get("/healthz"); code != http.StatusOK {
		t.Errorf("/healthz says %d while the API server is away", code)
	}

	faults.cut.Store(false)
	eventually(t, 10*time.Second, "it should be ready when the API server is back", p.ready)
}

func TestStandbyTakesOver(t *testing.T) {
	server := suite.Server(t)
	namespace := server.Namespace(t)
	election := []string{
		"--leader-elect", "--leader-election-namespace=" + namespace,
		"--leader-election-lease-duration=15s", "--leader-election-renew-deadline=10s", "--leader-election-retry-period=500ms",
	}

	cluster := &postgresqlv1.Cluster{}
	cluster.Namespace, cluster.Name = namespace, "pg"
	cluster.Spec.Instances, cluster.Spec.Storage.Size = 1, "1Gi"

	if err := server.Client.Create(t.Context(), cluster); err != nil {
		t.Fatal(err)
	}

	leader := startProcess(t, server.Config, election...)
	eventually(t, 15*time.Second, "the first should lead", func() error {
		if leader.passes.Load() == 0 {
			return fmt.Errorf("no pass yet")
		}

		return nil
	})

	standby := startProcess(t, server.Config, election...)
	eventually(t, 15*time.Second, "one that stands by should be ready", standby.ready)

	if standby.passes.Load() > 0 {
		t.Fatal("two lead")
	}

	started := time.Now()

	leader.stop()

	select {
	case err := <-leader.ended:
		if err != nil {
			t.Errorf("the leader ended with %v", err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("the leader does not stop")
	}

	stopped := time.Since(started)

	eventually(t, 5*time.Second, "the second should lead long before the lease ends", func() error {
		if standby.passes.Load() == 0 {
			return fmt.Errorf("no pass yet")
		}

		return nil
	})
	t.Logf("stopped after %v, the other led after %v", stopped, time.Since(started))
}
