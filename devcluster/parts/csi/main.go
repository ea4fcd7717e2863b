//go:build linux

// Command csi-sidecars is Kubernetes' external-provisioner, csi-snapshotter and snapshot-controller in one process, without
// what a cluster of several machines needs of them: leader election, capacity tracking, metrics. Their own programs link
// an API server's libraries for the sake of a signal handler, which takes minutes to compile.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/kubernetes-csi/csi-lib-utils/metrics"
	provision "github.com/kubernetes-csi/external-provisioner/v6/pkg/controller"
	snapshotclient "github.com/kubernetes-csi/external-snapshotter/client/v8/clientset/versioned"
	snapshotscheme "github.com/kubernetes-csi/external-snapshotter/client/v8/clientset/versioned/scheme"
	snapshotinformers "github.com/kubernetes-csi/external-snapshotter/client/v8/informers/externalversions"
	common "github.com/kubernetes-csi/external-snapshotter/v8/pkg/common-controller"
	snapshotmetrics "github.com/kubernetes-csi/external-snapshotter/v8/pkg/metrics"
	sidecar "github.com/kubernetes-csi/external-snapshotter/v8/pkg/sidecar-controller"
	"github.com/kubernetes-csi/external-snapshotter/v8/pkg/snapshotter"
	"google.golang.org/grpc"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/workqueue"
	csitrans "k8s.io/csi-translation-lib"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

const (
	// timeout is for one call of the driver: copies of large volumes take their time.
	timeout = 10 * time.Minute
	resync  = 15 * time.Minute
	workers = 10
)

func main() {
	kubeconfig := flag.String("kubeconfig", "", "the cluster")
	address := flag.String("csi-address", "", "the socket of the CSI driver's controller")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *kubeconfig, *address)
	stop()
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "csi-sidecars:", err)
		os.Exit(1)
	}
}

// sidecars is what all of them work with.
type sidecars struct {
	client    kubernetes.Interface
	snapshots snapshotclient.Interface
	core      informers.SharedInformerFactory
	informers snapshotinformers.SharedInformerFactory
	driver    *grpc.ClientConn
	name      string
}

func run(ctx context.Context, kubeconfig, address string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return fmt.Errorf("kubeconfig: %w", err)
	}
	config.QPS, config.Burst = 100, 100
	var s sidecars
	if s.client, err = kubernetes.NewForConfig(config); err != nil {
		return fmt.Errorf("kubeconfig: %w", err)
	}
	if s.snapshots, err = snapshotclient.NewForConfig(config); err != nil {
		return fmt.Errorf("kubeconfig: %w", err)
	}
	if err := snapshotscheme.AddToScheme(scheme.Scheme); err != nil { // Events are about snapshots, too.
		return fmt.Errorf("types: %w", err)
	}
	s.core = informers.NewSharedInformerFactory(s.client, resync)
	s.informers = snapshotinformers.NewSharedInformerFactory(s.snapshots, resync)
	// It ends this process when the driver's ends, and waits until there is one.
	if s.driver, err = provision.Connect(ctx, address, metrics.NewCSIMetricsManager("")); err != nil {
		return fmt.Errorf("driver: %w", err)
	}
	if err := provision.Probe(ctx, s.driver, timeout); err != nil {
		return fmt.Errorf("driver: %w", err)
	}
	if s.name, err = provision.GetDriverName(s.driver, timeout); err != nil {
		return fmt.Errorf("driver: %w", err)
	}
	return s.run(ctx)
}

func (s sidecars) run(ctx context.Context) error {
	groups := s.informers.Groupsnapshot().V1()
	snapshots := s.informers.Snapshot().V1()
	snapshotController := common.NewCSISnapshotCommonController(s.snapshots, s.client,
		snapshots.VolumeSnapshots(), snapshots.VolumeSnapshotContents(), snapshots.VolumeSnapshotClasses(),
		groups.VolumeGroupSnapshots(), groups.VolumeGroupSnapshotContents(), groups.VolumeGroupSnapshotClasses(),
		s.core.Core().V1().PersistentVolumeClaims(), s.core.Core().V1().PersistentVolumes(), nil,
		snapshotmetrics.NewMetricsManager(), resync, retries(), retries(), retries(), retries(), false, true, false)
	snapshotSidecar := sidecar.NewCSISnapshotSideCarController(s.snapshots, s.client, s.name,
		snapshots.VolumeSnapshotContents(), snapshots.VolumeSnapshotClasses(), snapshotter.NewSnapshotter(s.driver), nil,
		timeout, resync, "snapshot", -1, "groupsnapshot", -1, false, retries(), false,
		groups.VolumeGroupSnapshotContents(), groups.VolumeGroupSnapshotClasses(), retries())
	provisioner, err := s.provisioner(ctx)
	if err != nil {
		return err
	}
	s.core.Start(ctx.Done())
	s.informers.Start(ctx.Done())
	for kind, synced := range s.core.WaitForCacheSync(ctx.Done()) {
		if !synced {
			return fmt.Errorf("reading %s was interrupted", kind)
		}
	}
	go snapshotController.Run(workers, ctx.Done(), nil)
	go snapshotSidecar.Run(workers, ctx.Done(), nil)
	provisioner.Run(ctx)
	return nil
}

func (s sidecars) provisioner(ctx context.Context) (*controller.ProvisionController, error) {
	plugin, capabilities, err := provision.GetDriverCapabilities(s.driver, timeout)
	if err != nil {
		return nil, fmt.Errorf("driver: %w", err)
	}
	core, storage := s.core.Core().V1(), s.core.Storage().V1()
	provisioner := provision.NewCSIProvisioner(s.client, timeout, s.name, "pvc", -1, s.driver, s.snapshots, s.name,
		plugin, capabilities, "", false, true, csitrans.New(), storage.StorageClasses().Lister(),
		storage.CSINodes().Lister(), core.Nodes().Lister(), core.PersistentVolumeClaims().Lister(), nil, nil,
		false, "", nil, false, true, provision.NewInMemoryStore())
	return controller.NewProvisionController(ctx, s.client, s.name, provisioner,
		controller.LeaderElection(false), controller.FailedProvisionThreshold(0), controller.FailedDeleteThreshold(0),
		controller.RateLimiter(retries()), controller.Threadiness(workers), controller.AddFinalizer(true),
		controller.ClaimsInformer(core.PersistentVolumeClaims().Informer()),
	), nil
}

// retries are frequent, as those of the volume provisioner are: a node that was off should not be waited for long.
func retries() workqueue.TypedRateLimiter[string] {
	return workqueue.NewTypedItemExponentialFailureRateLimiter[string](500*time.Millisecond, 10*time.Second)
}
