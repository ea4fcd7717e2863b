package apiserver

import (
	"context"
	"testing"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

// RunManager runs controllers as the operator does, with their watches and a cache, in one namespace and until the test ends. Unlike the operator's
// they do not claim their names, of which there may be one in a process.
func (s *Server) RunManager(t *testing.T, namespace string, setup func(ctrl.Manager) error) {
	t.Helper()

	manager, err := ctrl.NewManager(s.Config, ctrl.Options{
		Scheme: s.Client.Scheme(), Metrics: metricsserver.Options{BindAddress: "0"},
		Cache:      cache.Options{DefaultNamespaces: map[string]cache.Config{namespace: {}}},
		Controller: config.Controller{SkipNameValidation: new(true)},
	})
	if err != nil {
		t.Fatal(err)
	}

	if err := setup(manager); err != nil {
		t.Fatal(err)
	}

	// The test's own context ends before its clean-ups.
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)

	go func() { ended <- manager.Start(ctx) }()

	t.Cleanup(func() {
		cancel()

		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
