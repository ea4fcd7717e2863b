package mysqld

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"
)

const probeTimeout = 5 * time.Second

// serveProbes answers the kubelet: alive as soon as PID 1 works, ready while the member is online in its group.
func (m *member) serveProbes(ctx context.Context) (stop func(), err error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", m.ProbeAddress)
	if err != nil {
		return nil, fmt.Errorf("open the probes' port: %w", err)
	}

	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if now := m.get(); now.State != StateOnline {
			http.Error(w, string(now.State)+": "+now.Message, http.StatusServiceUnavailable)
		}
	})

	server := &http.Server{Handler: mux, ReadHeaderTimeout: probeTimeout, WriteTimeout: probeTimeout}

	go func() {
		// It ends when it is closed.
		_ = server.Serve(listener)
	}()

	return func() { _ = server.Close() }, nil
}
