package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/test/internal/kube"
)

const (
	pollInterval = 50 * time.Millisecond
	timeout      = 5 * time.Minute
)

// options of a measurement.
type options struct {
	runs         int
	instances    int
	image        string
	storageClass string
	size         string
}

func main() {
	var o options

	flag.IntVar(&o.runs, "runs", 5, "how often to measure")
	flag.IntVar(&o.instances, "instances", 3, "instances of the Cluster")
	flag.StringVar(&o.image, "image", "", "PostgreSQL image; the operator's default if empty")
	flag.StringVar(&o.storageClass, "storage-class", "", "storage class; the cluster's default if empty")
	flag.StringVar(&o.size, "size", "1Gi", "size of each volume")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()

	if err := run(ctx, o, clock.RealClock{}, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:gocritic // there is nothing left to stop
	}
}

func run(ctx context.Context, o options, clk clock.PassiveClock, out io.Writer) error {
	k, err := kube.Connect()
	if err != nil {
		return err
	}

	var times []time.Duration

	for i := range o.runs {
		took, err := measure(ctx, k.Client, o, clk)
		if err != nil {
			return fmt.Errorf("run %d: %w", i+1, err)
		}

		times = append(times, took)
		_, _ = fmt.Fprintf(out, "run %d: apply → %d of %d ready: %.1f s\n", i+1, o.instances, o.instances, took.Seconds())
	}

	slices.Sort(times)
	_, _ = fmt.Fprintf(out, "min %.1f s, median %.1f s, max %.1f s of %d runs\n",
		times[0].Seconds(), times[len(times)/2].Seconds(), times[len(times)-1].Seconds(), len(times))

	return nil
}

// measure one Cluster in a namespace of its own, which is gone when measure returns: the next run has the nodes to itself.
func measure(ctx context.Context, c client.Client, o options, clk clock.PassiveClock) (took time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()

	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		GenerateName: "bench-", Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
	}}
	if err := c.Create(ctx, ns); err != nil {
		return 0, fmt.Errorf("create namespace: %w", err)
	}

	defer func() { err = errors.Join(err, remove(context.WithoutCancel(ctx), c, ns)) }()

	cluster := &postgresqlv1.Cluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns.Name, Name: "db"},
		Spec: postgresqlv1.ClusterSpec{
			Instances: int32(o.instances), //nolint:gosec // the API server refuses more than 99
			ImageName: o.image,
			Storage:   postgresqlv1.StorageConfiguration{Size: o.size},
		},
	}
	if o.storageClass != "" {
		cluster.Spec.Storage.StorageClass = &o.storageClass
	}

	began := clk.Now()

	if err := c.Create(ctx, cluster); err != nil {
		return 0, fmt.Errorf("create cluster: %w", err)
	}

	err = wait.PollUntilContextCancel(ctx, pollInterval, true, func(ctx context.Context) (bool, error) {
		if err := c.Get(ctx, client.ObjectKeyFromObject(cluster), cluster); err != nil {
			return false, fmt.Errorf("get cluster: %w", err)
		}

		return meta.IsStatusConditionTrue(cluster.Status.Conditions, postgresqlv1.ConditionReady) &&
			cluster.Status.ReadyInstances == cluster.Spec.Instances, nil
	})
	if err != nil {
		return 0, fmt.Errorf("wait until the cluster is ready: %w (%+v)", err, cluster.Status.Conditions)
	}

	return clk.Since(began), nil
}

func remove(ctx context.Context, c client.Client, ns *corev1.Namespace) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()

	if err := c.Delete(ctx, ns); err != nil {
		return fmt.Errorf("delete namespace: %w", err)
	}

	err := wait.PollUntilContextCancel(ctx, pollInterval, true, func(ctx context.Context) (bool, error) {
		err := c.Get(ctx, client.ObjectKeyFromObject(ns), ns)
		if apierrors.IsNotFound(err) {
			return true, nil
		}

		return false, err
	})
	if err != nil {
		return fmt.Errorf("wait until namespace %s is gone: %w", ns.Name, err)
	}

	return nil
}
