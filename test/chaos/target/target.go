package target

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/caretaker-dev/caretaker/test/chaos/workload"
	"github.com/caretaker-dev/caretaker/test/internal/kube"
)

// postgresPort is the port of every instance.
const postgresPort = "5432"

// Role of an instance.
type Role string

// The roles.
const (
	Primary Role = "primary"
	Replica Role = "replica"
)

// Product is what the operator of a cluster knows of it, and can do.
type Product interface {
	// Whole says what is missing: nil if there are as many instances as wanted, all of which serve and stream.
	Whole(ctx context.Context) error
	// Term changes with each change of primary.
	Term(ctx context.Context) (string, error)
	// Switchover asks for a new primary: an instance, or any if "". It does not wait.
	Switchover(ctx context.Context, to string) error
	// Scale asks for so many more instances, or fewer.
	Scale(ctx context.Context, by int) error
	// Restart asks for a rolling restart.
	Restart(ctx context.Context) error
	// Backup asks for a backup and returns once it has begun. Ended waits for its end, and says what
	// is wrong with it or with the archive; then it is removed.
	Backup(ctx context.Context, from Role) (ended func(context.Context) error, err error)
}

// Target is a PostgreSQL cluster.
type Target struct {
	*kube.Kube
	Product

	Namespace string
	// Selector finds the instances' pods, PrimarySelector the primary's.
	Selector, PrimarySelector string
	// Container in the pods that runs PostgreSQL.
	Container string
	// URI leads to the primary.
	URI string
	// Nodes are this machine's, if they are.
	Nodes *Nodes
}

// Pods of the instances, by name.
func (t *Target) Pods(ctx context.Context) ([]corev1.Pod, error) {
	return t.list(ctx, t.Namespace, t.Selector)
}

// Primary is the primary's pod.
func (t *Target) Primary(ctx context.Context) (*corev1.Pod, error) {
	pods, err := t.list(ctx, t.Namespace, t.PrimarySelector)
	if err != nil {
		return nil, err
	}

	if len(pods) != 1 {
		return nil, fmt.Errorf("%d pods have the labels of the primary (%s)", len(pods), t.PrimarySelector)
	}

	return &pods[0], nil
}

// Replicas are the pods of the instances that are not the primary.
func (t *Target) Replicas(ctx context.Context) ([]corev1.Pod, error) {
	primary, err := t.Primary(ctx)
	if err != nil {
		return nil, err
	}

	pods, err := t.Pods(ctx)
	if err != nil {
		return nil, err
	}

	return slices.DeleteFunc(pods, func(pod corev1.Pod) bool { return pod.Name == primary.Name }), nil
}

func (t *Target) list(ctx context.Context, namespace, selector string) ([]corev1.Pod, error) {
	parsed, err := labels.Parse(selector)
	if err != nil {
		return nil, fmt.Errorf("label selector %q: %w", selector, err)
	}

	var pods corev1.PodList
	if err := t.Client.List(ctx, &pods, client.InNamespace(namespace), client.MatchingLabelsSelector{Selector: parsed}); err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}

	slices.SortFunc(pods.Items, func(a, b corev1.Pod) int { return strings.Compare(a.Name, b.Name) })

	return pods.Items, nil
}

// isReady: it serves, and is not on its way out.
func isReady(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp == nil && pod.Status.PodIP != "" && slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// InContainer says where commands run in a pod.
func (t *Target) InContainer(pod string) kube.Container {
	return kube.Container{Namespace: t.Namespace, Pod: pod, Container: t.Container}
}

// Endpoint is how a client on a node reaches the primary, through its Service. Without nodes of our own it is this machine.
func (t *Target) Endpoint(ctx context.Context, node string) (workload.Endpoint, error) {
	endpoint := workload.Endpoint{URI: t.URI}
	if t.Nodes == nil {
		return endpoint, nil
	}

	host, err := hostOf(t.URI)
	if err != nil {
		return endpoint, err
	}

	service, err := t.serviceAddress(ctx, host)
	if err != nil {
		return endpoint, err
	}

	endpoint.Addresses = map[string]string{host: service}
	endpoint.Dial = t.Nodes.Dial(node)

	return endpoint, nil
}

// Direct is how a client on a node reaches one pod.
func (t *Target) Direct(pod *corev1.Pod, node string) (workload.Endpoint, error) {
	if pod.Status.PodIP == "" {
		return workload.Endpoint{}, fmt.Errorf("pod %s has no address", pod.Name)
	}

	direct, err := url.Parse(t.URI)
	if err != nil {
		return workload.Endpoint{}, fmt.Errorf("connection string: %w", err)
	}

	direct.Host = net.JoinHostPort(pod.Status.PodIP, postgresPort)

	// A replica must answer too, and its certificate need not have its address.
	query := direct.Query()
	query.Del("target_session_attrs")
	query.Set("sslmode", "prefer")
	direct.RawQuery = query.Encode()

	endpoint := workload.Endpoint{URI: direct.String()}
	if t.Nodes != nil {
		endpoint.Dial = t.Nodes.Dial(node)
	}

	return endpoint, nil
}

func hostOf(uri string) (string, error) {
	parsed, err := url.Parse(uri)
	if err != nil || parsed.Hostname() == "" {
		return "", errors.New("the connection string must be a URI with a host: postgresql://USER:PASSWORD@HOST:PORT/DATABASE")
	}

	return parsed.Hostname(), nil
}

// serviceAddress finds the address of a Service that a URI names as SERVICE[.NAMESPACE[.svc…]]; another host is left as it is.
func (t *Target) serviceAddress(ctx context.Context, host string) (string, error) {
	if net.ParseIP(host) != nil {
		return host, nil
	}

	name, rest, _ := strings.Cut(host, ".")
	namespace, _, _ := strings.Cut(rest, ".")

	if namespace == "" {
		namespace = t.Namespace
	}

	service, err := t.Clientset.CoreV1().Services(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("look up %s: %w", host, err)
	}

	return service.Spec.ClusterIP, nil
}
