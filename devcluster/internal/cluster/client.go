package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/caretaker-dev/caretaker/devcluster/internal/config"
)

// nodesDeadline is how long nodes may take to be ready.
const nodesDeadline = 3 * time.Minute

func (c *Cluster) client() (*kubernetes.Clientset, error) {
	restConfig, err := clientcmd.BuildConfigFromFlags("", c.dirs.Kubeconfig())
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	restConfig.QPS, restConfig.Burst = 100, 100
	client, err := kubernetes.NewForConfig(restConfig)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	return client, nil
}

// applyAddons makes what a cluster has from the start: storage classes and DNS.
func (c *Cluster) applyAddons(ctx context.Context) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	classes, err := config.StorageClasses()
	if err != nil {
		return err
	}
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(classes), 4096)
	for {
		var class storagev1.StorageClass
		if err := decoder.Decode(&class); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return fmt.Errorf("storage classes: %w", err)
		}
		_, err := client.StorageV1().StorageClasses().Create(ctx, &class, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("storage class %s: %w", class.Name, err)
		}
	}
	return c.applyDNS(ctx, client)
}

// applyDNS makes the Service through which pods reach CoreDNS, which is no pod.
func (c *Cluster) applyDNS(ctx context.Context, client kubernetes.Interface) error {
	const name, port = "kube-dns", int32(53)
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.ServiceSpec{
			ClusterIP: c.network().DNSService().String(),
			Ports: []corev1.ServicePort{
				{Name: "dns", Protocol: corev1.ProtocolUDP, Port: port},
				{Name: "dns-tcp", Protocol: corev1.ProtocolTCP, Port: port},
			},
		},
	}
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: name}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{c.network().Gateway().String()}}},
		Ports: []discoveryv1.EndpointPort{
			{Name: new("dns"), Protocol: new(corev1.ProtocolUDP), Port: new(port)},
			{Name: new("dns-tcp"), Protocol: new(corev1.ProtocolTCP), Port: new(port)},
		},
	}
	// That its address is taken comes before that the Service exists: ask first.
	_, err := client.CoreV1().Services(metav1.NamespaceSystem).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = client.CoreV1().Services(metav1.NamespaceSystem).Create(ctx, service, metav1.CreateOptions{})
	}
	if err != nil {
		return fmt.Errorf("service %s: %w", name, err)
	}
	_, err = client.DiscoveryV1().EndpointSlices(metav1.NamespaceSystem).Create(ctx, slice, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("endpoints of service %s: %w", name, err)
	}
	return nil
}

// waitForNodes waits until every node is ready, and has said so since the given time
// or runs for longer: what a node said before it lost power does not count.
func (c *Cluster) waitForNodes(ctx context.Context, since time.Time) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(nodesDeadline); ; time.Sleep(200 * time.Millisecond) {
		missing, err := c.unready(ctx, client, since)
		switch {
		case err == nil && len(missing) == 0:
			return nil
		case ctx.Err() != nil || time.Now().After(deadline):
			return fmt.Errorf("not ready within %s: %s; see %s/*-kubelet.log and status (%w)",
				nodesDeadline, strings.Join(missing, ", "), c.dirs.Logs(), errors.Join(err, ctx.Err()))
		}
	}
}

func (c *Cluster) unready(ctx context.Context, client kubernetes.Interface, since time.Time) (names []string, err error) {
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("nodes: %w", err)
	}
	leases, err := client.CoordinationV1().Leases(corev1.NamespaceNodeLease).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("nodes' leases: %w", err)
	}
	ready, alive := map[string]bool{}, map[string]bool{}
	for _, node := range nodes.Items {
		ready[node.Name] = nodeReady(node)
	}
	for _, lease := range leases.Items {
		// A kubelet renews its lease every ten seconds.
		alive[lease.Name] = lease.Spec.RenewTime != nil && lease.Spec.RenewTime.Time.After(since)
	}
	for _, node := range c.nodes() {
		recent := node.StartedBefore(since) || alive[node.Name()]
		if !ready[node.Name()] || !recent {
			names = append(names, node.Name())
		}
	}
	return names, nil
}

func nodeReady(node corev1.Node) bool {
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}
