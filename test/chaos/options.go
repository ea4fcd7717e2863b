package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/caretaker-dev/caretaker/test/chaos/scenario"
	"github.com/caretaker-dev/caretaker/test/chaos/target"
	"github.com/caretaker-dev/caretaker/test/internal/kube"
)

// options are the flags that most commands have.
type options struct {
	artifacts, devcluster, image, s3Image, storageClass string
	slack                                               float64

	// A cluster that is there already.
	namespace, cluster string
	uri                string
	foreign            target.Foreign
	selector, primary  string
	container          string
}

func (o *options) register(flags *flag.FlagSet) {
	flags.StringVar(&o.artifacts, "artifacts", "build/artifacts/chaos/"+time.Now().UTC().Format("20060102-150405"), "folder for histories and verdicts")
	flags.StringVar(&o.devcluster, "devcluster", ".devcluster", "state folder of the development cluster; without it, faults of nodes cannot be made")
	flags.StringVar(&o.image, "image", "caretaker.local/postgresql:%s", "image of a PostgreSQL major, which stands for %s")
	flags.StringVar(&o.s3Image, "s3-image", "caretaker.local/versitygw:test", "image of versitygw, for Clusters with an archive")
	flags.StringVar(&o.storageClass, "storage-class", "standard", "storage class of the Clusters that are made")
	flags.Float64Var(&o.slack, "slack", 1, "multiplies the times that are allowed: for machines with other work to do")

	flags.StringVar(&o.cluster, "cluster", "", "test this Cluster and make none")
	flags.StringVar(&o.namespace, "namespace", "default", "namespace of the cluster that is tested")

	flags.StringVar(&o.uri, "uri", "", "test a cluster that is not Caretaker's: how clients connect, postgresql://USER:PASSWORD@SERVICE.NAMESPACE/DATABASE")
	flags.StringVar(&o.selector, "selector", "", "with -uri: labels of the instances' pods")
	flags.StringVar(&o.primary, "primary-selector", "", "with -uri: labels of the primary's pod")
	flags.StringVar(&o.container, "container", "postgres", "with -uri: container of PostgreSQL")
	flags.IntVar(&o.foreign.Instances, "instances", 3, "with -uri: how many instances there are")
	flags.StringVar(&o.foreign.WholeCommand, "whole-command", "", "with -uri: shell command that succeeds when nothing is missing")
	flags.StringVar(&o.foreign.TermCommand, "term-command", "", "with -uri: shell command that prints what changes with the primary")
	flags.StringVar(&o.foreign.SwitchoverCommand, "switchover-command", "", "with -uri: shell command that asks for another primary")
	flags.StringVar(&o.foreign.ScaleCommand, "scale-command", "", "with -uri: shell command for $BY more instances")
	flags.StringVar(&o.foreign.BackupCommand, "backup-command", "", "with -uri: shell command that takes a backup from $FROM, primary or replica, and waits for it")
	flags.StringVar(&o.foreign.RestartCommand, "restart-command", "", "with -uri: shell command for a rolling restart")
}

// world is where the tests are made.
type world struct {
	*options

	kube  *kube.Kube
	nodes *target.Nodes
	// made is the namespace of the Cluster that was made last.
	made string
	last *target.Target
}

func (o *options) connect() (*world, error) {
	k, err := kube.Connect()
	if err != nil {
		return nil, err
	}

	w := &world{options: o, kube: k}

	dir, err := filepath.Abs(o.devcluster)
	if err != nil {
		return nil, fmt.Errorf("state folder of the development cluster: %w", err)
	}

	// Another cluster's processes and networks are not in this folder.
	kubeconfig, err := filepath.Abs(os.Getenv("KUBECONFIG"))
	if err != nil {
		return nil, fmt.Errorf("path of KUBECONFIG: %w", err)
	}

	if kubeconfig == filepath.Join(dir, "kubeconfig") && os.Geteuid() == 0 {
		w.nodes = &target.Nodes{Program: filepath.Join(filepath.Dir(dir), "bin", "devcluster"), Dir: dir}
	}

	return w, nil
}

func (o *options) runner() *scenario.Runner {
	return &scenario.Runner{Artifacts: o.artifacts, Slack: o.slack}
}

// target for a case: the cluster that the flags name, or a Cluster made for it. There is only one at a time.
func (w *world) target(ctx context.Context, c scenario.Case) (*target.Target, error) {
	switch {
	case w.uri != "":
		return w.foreignTarget()
	case w.cluster != "":
		return target.NewCaretaker(ctx, w.kube, key(w.namespace, w.cluster), w.nodes)
	}

	namespace := fmt.Sprintf("chaos-%d-%s", c.Instances, c.Major)
	if c.StorageClass != "" {
		namespace += "-" + c.StorageClass
	}

	wish := target.Wish{
		Instances: int32(c.Instances), //nolint:gosec // A handful.
		Image:     strings.ReplaceAll(w.image, "%s", c.Major), StorageClass: cmp.Or(c.StorageClass, w.storageClass),
	}

	if c.Archive {
		namespace += "-archive"
		wish.S3Image = w.s3Image
	}

	if namespace == w.made {
		return w.last, nil
	}

	if err := w.remove(ctx); err != nil {
		return nil, err
	}

	w.made, wish.Namespace = namespace, namespace

	var err error

	w.last, err = target.Provide(ctx, w.kube, wish, w.nodes)

	return w.last, err
}

func (w *world) remove(ctx context.Context) error {
	if w.made == "" {
		return nil
	}

	made := w.made
	w.made, w.last = "", nil

	return target.Remove(context.WithoutCancel(ctx), w.kube, made)
}

func (w *world) foreignTarget() (*target.Target, error) {
	if w.selector == "" || w.primary == "" {
		return nil, errors.New("-uri needs -selector and -primary-selector, the labels of its pods")
	}

	t := &target.Target{
		Kube: w.kube, Nodes: w.nodes, Namespace: w.namespace, Selector: w.selector, PrimarySelector: w.primary,
		Container: cmp.Or(w.container, "postgres"), URI: w.uri,
	}
	foreign := w.foreign
	foreign.Target = t
	t.Product = &foreign

	return t, nil
}
