package target

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/test/internal/kube"
)

// Caretaker is a Cluster of ours.
type Caretaker struct {
	*kube.Kube

	Key client.ObjectKey
}

// NewCaretaker finds a Cluster, which must have come up once.
func NewCaretaker(ctx context.Context, k *kube.Kube, key client.ObjectKey, nodes *Nodes) (*Target, error) {
	secret := &corev1.Secret{}
	if err := k.Client.Get(ctx, client.ObjectKey{Namespace: key.Namespace, Name: naming.SecretApp(key.Name)}, secret); err != nil {
		return nil, fmt.Errorf("how to connect to Cluster %s: %w", key.Name, err)
	}

	return &Target{
		Kube: k, Product: &Caretaker{Kube: k, Key: key}, Nodes: nodes,
		Namespace:       key.Namespace,
		Selector:        naming.LabelCluster + "=" + key.Name + ",app.kubernetes.io/component=database",
		PrimarySelector: naming.LabelCluster + "=" + key.Name + "," + naming.LabelRole + "=" + naming.RolePrimary,
		Container:       "postgres",
		URI:             string(secret.Data["uri"]),
	}, nil
}

// Get the Cluster.
func (c *Caretaker) Get(ctx context.Context) (*postgresqlv1.Cluster, error) {
	cluster := &postgresqlv1.Cluster{}
	if err := c.Client.Get(ctx, c.Key, cluster); err != nil {
		return nil, fmt.Errorf("get Cluster %s: %w", c.Key.Name, err)
	}

	return cluster, nil
}

// Whole asks the Cluster's status.
func (c *Caretaker) Whole(ctx context.Context) error {
	cluster, err := c.Get(ctx)
	if err != nil {
		return err
	}

	condition := meta.FindStatusCondition(cluster.Status.Conditions, postgresqlv1.ConditionReady)

	switch {
	case condition == nil:
		return errors.New("no condition Ready yet")
	case cluster.Status.ObservedGeneration != cluster.Generation:
		return fmt.Errorf("status is of generation %d, not %d", cluster.Status.ObservedGeneration, cluster.Generation)
	case condition.Status != metav1.ConditionTrue:
		return fmt.Errorf("condition Ready is %s: %s: %s", condition.Status, condition.Reason, condition.Message)
	case cluster.Status.ReadyInstances != cluster.Spec.Instances || len(cluster.Status.Members) != int(cluster.Spec.Instances):
		return fmt.Errorf("%d of %d instances are ready", cluster.Status.ReadyInstances, cluster.Spec.Instances)
	}

	for _, member := range cluster.Status.Members {
		if member.Role == postgresqlv1.RoleReplica && member.Streaming == nil {
			return fmt.Errorf("%s does not stream, though the Cluster is Ready", member.Name)
		}
	}

	return errors.Join(c.pods(ctx, cluster), c.term(ctx, cluster))
}

// pods are there and ready: for a while after an outage of the API server the operator's word is of before.
func (c *Caretaker) pods(ctx context.Context, cluster *postgresqlv1.Cluster) error {
	for _, member := range cluster.Status.Members {
		pod := &corev1.Pod{}
		if err := c.Client.Get(ctx, client.ObjectKey{Namespace: c.Key.Namespace, Name: member.Name}, pod); err != nil {
			return fmt.Errorf("the Cluster is Ready, but get pod %s: %w", member.Name, err)
		}

		if !isReady(pod) {
			return fmt.Errorf("the Cluster is Ready, but pod %s is not", member.Name)
		}
	}

	return nil
}

// term checks that the record has come to rest, too: nothing is pending, and every replica has its vote back.
func (c *Caretaker) term(ctx context.Context, cluster *postgresqlv1.Cluster) error {
	record := &postgresqlv1.ClusterTerm{}
	if err := c.Client.Get(ctx, c.Key, record); err != nil {
		return fmt.Errorf("get ClusterTerm %s: %w", c.Key.Name, err)
	}

	switch {
	case !record.Spec.Established || record.Spec.Pending != nil:
		return fmt.Errorf("the Cluster is Ready, but in the record term %d is established %t, pending %v", record.Spec.Term, record.Spec.Established, record.Spec.Pending)
	case len(record.Spec.Voters) != len(cluster.Status.Members)-1:
		return fmt.Errorf("the Cluster is Ready, but %d of %d replicas have a vote", len(record.Spec.Voters), len(cluster.Status.Members)-1)
	default:
		return nil
	}
}

// Term as in the record.
func (c *Caretaker) Term(ctx context.Context) (string, error) {
	record := &postgresqlv1.ClusterTerm{}
	if err := c.Client.Get(ctx, c.Key, record); err != nil {
		return "", fmt.Errorf("get ClusterTerm %s: %w", c.Key.Name, err)
	}

	return strconv.FormatInt(record.Spec.Term, 10), nil
}

// Switchover by annotation.
func (c *Caretaker) Switchover(ctx context.Context, to string) error {
	return c.annotate(ctx, naming.AnnotationSwitchover, to+"/"+nonce())
}

// Restart by annotation.
func (c *Caretaker) Restart(ctx context.Context) error {
	return c.annotate(ctx, naming.AnnotationRestart, nonce())
}

// Scale the Cluster.
func (c *Caretaker) Scale(ctx context.Context, by int) error {
	return c.change(ctx, func(cluster *postgresqlv1.Cluster) {
		cluster.Spec.Instances += int32(by) //nolint:gosec // A handful.
	})
}

func (c *Caretaker) annotate(ctx context.Context, annotation, value string) error {
	return c.change(ctx, func(cluster *postgresqlv1.Cluster) {
		metav1.SetMetaDataAnnotation(&cluster.ObjectMeta, annotation, value)
	})
}

func (c *Caretaker) change(ctx context.Context, mutate func(*postgresqlv1.Cluster)) error {
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		cluster, err := c.Get(ctx)
		if err != nil {
			return err
		}

		mutate(cluster)

		return c.Client.Update(ctx, cluster)
	})
	if err != nil {
		return fmt.Errorf("change Cluster %s: %w", c.Key.Name, err)
	}

	return nil
}

func nonce() string { return strconv.FormatInt(time.Now().UnixNano(), 36) }

// OperatorNode is the node on which the operator's leader runs.
func (c *Caretaker) OperatorNode(ctx context.Context, namespace string) (string, error) {
	leases, err := c.Clientset.CoordinationV1().Leases(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return "", fmt.Errorf("find the operator's leader: %w", err)
	}

	for _, lease := range leases.Items {
		if lease.Spec.HolderIdentity == nil {
			continue
		}

		name, _, _ := strings.Cut(*lease.Spec.HolderIdentity, "_")

		pod, err := c.Clientset.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
		if err == nil {
			return pod.Spec.NodeName, nil
		}
	}

	return "", fmt.Errorf("no pod in namespace %s holds the operator's lease", namespace)
}
