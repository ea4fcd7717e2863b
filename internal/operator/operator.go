package operator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/caretaker-dev/caretaker/internal/version"
)

// shutdownTimeout is how long running passes may take to end after a signal. A pass that is cut off is taken up by the
// next leader.
const shutdownTimeout = 5 * time.Second

// Setup adds controllers to a manager.
type Setup func(manager ctrl.Manager) error

// Run is the operator until the context ends. It waits for its CRDs rather than fail without them.
func Run(ctx context.Context, connection *rest.Config, o Options, clk clock.Clock, logger logr.Logger, setup Setup) error {
	ctrl.SetLogger(logger)
	klog.SetLoggerWithOptions(logger.WithName("client-go"), klog.ContextualLogger(true))

	connection = rest.AddUserAgent(rest.CopyConfig(connection), "caretaker/"+version.String())
	connection.QPS, connection.Burst = o.KubeAPIQPS, int(2*o.KubeAPIQPS)

	logger.Info("Starting", "version", version.String(), "namespaces", o.WatchNamespaces,
		"defaultPostgresImage", o.DefaultPostgresImage, "memoryLimitBytes", limitMemory())

	kinds, err := NewKinds(connection)
	if err != nil {
		return err
	}

	ready := &readiness{clock: clk, served: kinds.Served}

	probes, err := newProbeServer(ctx, o.HealthProbeBindAddress, ready)
	if err != nil {
		return err
	}

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return probes.serve(ctx) })
	group.Go(func() error {
		err := kinds.waitServed(ctx, clk, logger)
		if err != nil {
			return err
		}

		return runManager(ctx, connection, o, logger, ready, setup)
	})

	if err := group.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err //nolint:wrapcheck // each part has said what it was doing
	}

	logger.Info("Stopped")

	return nil
}

func runManager(ctx context.Context, connection *rest.Config, o Options, logger logr.Logger, ready *readiness, setup Setup) error {
	scheme, err := newScheme()
	if err != nil {
		return err
	}

	options := ctrl.Options{
		Scheme: scheme,
		Logger: logger,
		Cache:  cacheOptions(o.WatchNamespaces),
		Client: clientOptions(),

		LeaderElection:                o.LeaderElect,
		LeaderElectionID:              o.LeaderElectionID,
		LeaderElectionNamespace:       o.LeaderElectionNamespace,
		LeaderElectionReleaseOnCancel: true,
		LeaseDuration:                 &o.LeaseDuration,
		RenewDeadline:                 &o.RenewDeadline,
		RetryPeriod:                   &o.RetryPeriod,

		Metrics:                 metricsOptions(o),
		HealthProbeBindAddress:  "0", // probes are ours, and answer before there is a manager
		PprofBindAddress:        o.PprofBindAddress,
		GracefulShutdownTimeout: new(shutdownTimeout),
		Controller: config.Controller{
			MaxConcurrentReconciles: o.MaxConcurrentReconciles,
			// Replicas that stand by keep their caches filled, so that they take over at once.
			EnableWarmup: new(true),
		},
	}

	manager, err := ctrl.NewManager(connection, options)
	if err != nil {
		return fmt.Errorf("make the controllers' manager: %w", err)
	}

	if err := setup(manager); err != nil {
		return err
	}

	ready.startSyncing(manager.GetCache().WaitForCacheSync)

	if err := manager.Start(ctx); err != nil {
		return fmt.Errorf("run the controllers: %w", err)
	}

	// A manager that ends by itself, without an error and without having been asked, has lost the lease.
	if ctx.Err() == nil {
		return errors.New("run the controllers: ended unexpectedly")
	}

	return nil
}

func metricsOptions(o Options) metricsserver.Options {
	options := metricsserver.Options{BindAddress: o.MetricsBindAddress, SecureServing: o.MetricsSecure, CertDir: o.MetricsCertDir}
	if o.MetricsSecure {
		options.FilterProvider = withMetricsAccess
	}

	return options
}
