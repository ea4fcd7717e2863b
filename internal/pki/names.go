package pki

import (
	"github.com/caretaker-dev/caretaker/internal/naming"
)

// clusterDomain of nearly every Kubernetes cluster; another one goes into spec.certificates.serverAltDNSNames.
const clusterDomain = "cluster.local"

// DNSNames are the names that a Cluster's server certificate is valid for: its services in every form that a client may
// use, each instance, and extra ones.
func DNSNames(cluster, namespace string, extra ...string) []string {
	var names []string

	for _, service := range []string{
		naming.ServiceReadWrite(cluster),
		naming.ServiceReadOnly(cluster),
		naming.ServiceRead(cluster),
		"*." + naming.ServiceMembers(cluster),
	} {
		names = append(names, ServiceDNSNames(service, namespace)...)
	}

	return append(names, extra...)
}

// ServiceDNSNames are the forms of a service's DNS name.
func ServiceDNSNames(service, namespace string) []string {
	return []string{
		service,
		service + "." + namespace,
		service + "." + namespace + ".svc",
		service + "." + namespace + ".svc." + clusterDomain,
	}
}
