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

// waitForNodes waits until pods can run on every node. What a node said before the
// given time does not count, unless it has been on since: it may have lost power.
func (c *Cluster) waitForNodes(ctx context.Context, since time.Time) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(nodesDeadline); ; time.Sleep(100 * time.Millisecond) {
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

// unready tells what is missing before pods can run everywhere.
func (c *Cluster) unready(ctx context.Context, client kubernetes.Interface, since time.Time) (names []string, err error) {
	list, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("nodes: %w", err)
	}
	known := map[string]corev1.Node{}
	for _, node := range list.Items {
		known[node.Name] = node
	}
	for _, node := range c.nodes() {
		said := known[node.Name()]
		heard, ready := readiness(said)
		if !ready || len(said.Spec.Taints) > 0 || !node.StartedBefore(since) && !heard.After(since) {
			names = append(names, node.Name())
		}
	}
	// Without this account no pod of the namespace is accepted.
	_, err = client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
	if err != nil {
		names = append(names, "service account default")
	}
	if !c.state.CSI {
		return names, nil
	}
	lacking, err := c.withoutCSI(ctx, client)
	return append(names, lacking...), err
}

// readiness is whether the node calls itself ready, and when it said so.
func readiness(node corev1.Node) (heard time.Time, ready bool) {
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.LastHeartbeatTime.Time, condition.Status == corev1.ConditionTrue
		}
	}
	return time.Time{}, false
}
