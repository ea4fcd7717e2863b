package cluster

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/cluster/build"
	"github.com/caretaker-dev/caretaker/internal/cluster/decide"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/instanceclient"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/internal/pki"
)

// observeCertificates finds out what the certificates should be. That makes keys where some are missing, which is why it
// is no part of the pure decision; nothing is written.
func (r *Reconciler) observeCertificates(ctx context.Context, o *observation) error {
	name := o.Cluster.Name
	in := pki.Input{
		Cluster: name, Namespace: o.Cluster.Namespace, Now: o.Now,
		DNSNames:          dnsNames(o.Cluster),
		OwnCA:             secretData(o, naming.SecretCA(name)),
		OwnServer:         secretData(o, naming.SecretServer(name)),
		OwnReplication:    secretData(o, naming.SecretReplication(name)),
		PublishedServerCA: published(o, instanceapi.ServerCAKey),
		PublishedClientCA: published(o, instanceapi.ClientCAKey),
	}

	missing, err := r.usersCertificates(ctx, o.Cluster, &in)
	if err != nil {
		return err
	}

	out, err := pki.Plan(in)
	if err != nil {
		return fmt.Errorf("plan certificates: %w", err)
	}

	o.Certificates = certificates(o, out)
	o.Certificates.Missing = missing

	return nil
}

// usersCertificates reads the secrets that the spec names, and says which of them do not exist.
func (r *Reconciler) usersCertificates(ctx context.Context, cluster *v1.Cluster, in *pki.Input) (missing []string, err error) {
	given := cluster.Spec.Certificates
	if given == nil {
		return nil, nil
	}

	for _, user := range []struct {
		field, name string
		into        *map[string][]byte
	}{
		{"serverTLSSecret", given.ServerTLSSecret, &in.UserServer},
		{"serverCASecret", given.ServerCASecret, &in.UserServerCA},
		{"clientCASecret", given.ClientCASecret, &in.UserClientCA},
		{"replicationTLSSecret", given.ReplicationTLSSecret, &in.UserReplication},
	} {
		if user.name == "" {
			continue
		}

		secret := &corev1.Secret{}

		found, err := get(ctx, r.live, cluster.Namespace, user.name, secret)
		if err != nil {
			return nil, err
		}

		if !found {
			missing = append(missing, fmt.Sprintf("spec.certificates.%s: there is no Secret %q in namespace %s; create it",
				user.field, user.name, cluster.Namespace))
		}

		*user.into = nonNil(secret.Data)
	}

	return missing, nil
}

func dnsNames(cluster *v1.Cluster) []string {
	var extra []string
	if cluster.Spec.Certificates != nil {
		extra = append(extra, cluster.Spec.Certificates.ServerAltDNSNames...)
	}

	for _, service := range build.AdditionalServices(cluster) {
		extra = append(extra, pki.ServiceDNSNames(service.ServiceTemplate.Metadata.Name, cluster.Namespace)...)
	}

	return pki.DNSNames(cluster.Name, cluster.Namespace, extra...)
}

func certificates(o *observation, out pki.Output) decide.Certificates {
	secrets := map[pki.Role]struct {
		name string
		data map[string][]byte
	}{
		pki.RoleCA:          {naming.SecretCA(o.Cluster.Name), out.CA},
		pki.RoleServer:      {naming.SecretServer(o.Cluster.Name), out.Server},
		pki.RoleReplication: {naming.SecretReplication(o.Cluster.Name), out.Replication},
	}

	result := decide.Certificates{
		Certificates: build.Certificates{
			CA: out.CA, Server: out.Server, Replication: out.Replication,
			ServerCABundle: out.ServerCABundle, ClientCABundle: out.ClientCABundle,
		},
		RenewAt: out.RenewAt,
	}

	for _, certificate := range out.Certificates {
		secret := secrets[certificate.Role]

		// One that is only thought up yet ends at another moment each time.
		if maps.EqualFunc(secret.data, secretData(o, secret.name), bytes.Equal) {
			result.Ends = append(result.Ends, v1.CertificateStatus{Secret: secret.name, NotAfter: metav1.NewTime(certificate.NotAfter)})
		}
	}

	for _, found := range out.Warnings {
		result.Warnings = append(result.Warnings, found.Field+": "+found.Message)
	}

	for _, found := range out.Problems {
		result.Problems = append(result.Problems, found.Field+": "+found.Message)
	}

	return result
}

func secretData(o *observation, name string) map[string][]byte {
	secret, ok := o.Owned[decide.Key{Kind: "Secret", Name: name}].(*corev1.Secret)
	if !ok {
		return nil
	}

	return secret.Data
}

func published(o *observation, key string) []byte {
	config, ok := o.Owned[decide.Key{Kind: "ConfigMap", Name: naming.ConfigMap(o.Cluster.Name)}].(*corev1.ConfigMap)
	if !ok {
		return nil
	}

	return []byte(config.Data[key])
}

// targets are the instances that can be asked: those whose PID 1 runs. They are reached with the certificates that they
// have now, not with those that they shall get.
func targets(o *observation) map[string]instanceclient.Target {
	client := secretData(o, naming.SecretReplication(o.Cluster.Name))
	serverCA := published(o, instanceapi.ServerCAKey)
	result := map[string]instanceclient.Target{}

	if len(client) == 0 || len(serverCA) == 0 {
		return result
	}

	for name, pod := range o.Pods {
		if pod.Status.PodIP == "" || !isStarted(pod) {
			continue
		}

		result[name] = instanceclient.Target{
			Name:       name,
			Address:    net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(naming.PortStatus)),
			ServerCA:   serverCA,
			ClientCert: client[corev1.TLSCertKey],
			ClientKey:  client[corev1.TLSPrivateKeyKey],
		}
	}

	return result
}

func isStarted(pod *corev1.Pod) bool {
	for _, status := range pod.Status.ContainerStatuses {
		if status.Name == build.ContainerPostgres {
			return status.State.Running != nil
		}
	}

	return false
}
