package operator

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

const (
	// probeTimeout bounds one live look at the API server; kubelets wait a second or so longer.
	probeTimeout = 2 * time.Second
	// probeCache is how long its result counts: many probes make few requests.
	probeCache = 3 * time.Second
)

// readiness tells whether the operator can work, as leader or as one who would take over: its kinds are served by an API
// server that answers now, and its caches are filled.
type readiness struct {
	clock clock.PassiveClock
	// served looks at the API server.
	served func(context.Context) error

	mu     sync.Mutex
	synced func(context.Context) bool
	at     time.Time
	err    error
}

// startSyncing tells how to see whether caches are filled, once there are any.
func (r *readiness) startSyncing(synced func(context.Context) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()

	r.synced = synced
	r.at = time.Time{}
}

// check is nil if the operator can work.
func (r *readiness) check(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()

	if !r.at.IsZero() && r.clock.Since(r.at) < probeCache {
		return r.err
	}

	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()

	r.err = r.look(ctx)
	r.at = r.clock.Now()

	return r.err
}

func (r *readiness) look(ctx context.Context) error {
	if err := r.served(ctx); err != nil {
		return err
	}

	if r.synced == nil {
		return errors.New("starting")
	}

	if !r.synced(ctx) {
		return errors.New("caches are not filled yet")
	}

	return nil
}

// probeServer answers from the first moment on, also while the operator waits for its CRDs.
type probeServer struct {
	server   *http.Server
	listener net.Listener
}

func newProbeServer(ctx context.Context, address string, ready *readiness) (*probeServer, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for probes on %s: %w", address, err)
	}

	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("ok\n"))
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := ready.check(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)

			return
		}

		_, _ = w.Write([]byte("ok\n"))
	})

	return &probeServer{server: &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}, listener: listener}, nil
}

// serve until the context ends.
func (s *probeServer) serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = s.server.Close() })
	defer stop()

	if err := s.server.Serve(s.listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve probes: %w", err)
	}

	return nil
}
