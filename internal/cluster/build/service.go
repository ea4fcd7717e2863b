package build

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

// Names of an instance's ports.
const (
	portNamePostgreSQL = "postgresql"
	portNameStatus     = "status"
	portNameMetrics    = "metrics"
)

// Services of a Cluster: the default ones that are not disabled, the members' headless one, the user's.
func Services(in Input) []Object {
	name := in.Cluster.Name
	objects := []Object{defaultService(in, naming.ServiceReadWrite(name), v1.ServiceReadWrite)}

	if !disabled(in.Cluster, v1.ServiceReadOnly) {
		objects = append(objects, defaultService(in, naming.ServiceReadOnly(name), v1.ServiceReadOnly))
	}

	if !disabled(in.Cluster, v1.ServiceRead) {
		objects = append(objects, defaultService(in, naming.ServiceRead(name), v1.ServiceRead))
	}

	objects = append(objects, membersService(in))

	for _, managed := range AdditionalServices(in.Cluster) {
		objects = append(objects, additionalService(in, managed))
	}

	return objects
}

// AdditionalServices are those of spec.managed.services.
func AdditionalServices(cluster *v1.Cluster) []v1.ManagedService {
	if cluster.Spec.Managed == nil || cluster.Spec.Managed.Services == nil {
		return nil
	}

	return cluster.Spec.Managed.Services.Additional
}

// DefaultServiceNames are taken, whether or not the services are enabled.
func DefaultServiceNames(cluster string) []string {
	return []string{
		naming.ServiceReadWrite(cluster), naming.ServiceReadOnly(cluster), naming.ServiceRead(cluster), naming.ServiceMembers(cluster),
	}
}

func disabled(cluster *v1.Cluster, kind v1.ServiceSelectorType) bool {
	managed := cluster.Spec.Managed

	return managed != nil && managed.Services != nil && slices.Contains(managed.Services.DisabledDefaultServices, kind)
}

func newService(in Input, name string) *corev1.Service {
	return &corev1.Service{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: meta(in, name),
	}
}

func defaultService(in Input, name string, kind v1.ServiceSelectorType) *corev1.Service {
	service := newService(in, name)
	service.Spec = corev1.ServiceSpec{
		Type:     corev1.ServiceTypeClusterIP,
		Selector: selector(in.Cluster.Name, kind),
		Ports:    []corev1.ServicePort{port(portNamePostgreSQL, naming.PortPostgreSQL)},
	}

	return service
}

// membersService gives each pod a name, ready or not: a replica finds its primary by it while both still start.
func membersService(in Input) *corev1.Service {
	service := newService(in, naming.ServiceMembers(in.Cluster.Name))
	service.Spec = corev1.ServiceSpec{
		Type:                     corev1.ServiceTypeClusterIP,
		ClusterIP:                corev1.ClusterIPNone,
		PublishNotReadyAddresses: true,
		Selector:                 naming.SelectorLabels(in.Cluster.Name),
		Ports: []corev1.ServicePort{
			port(portNamePostgreSQL, naming.PortPostgreSQL),
			port(portNameStatus, naming.PortStatus),
			port(portNameMetrics, naming.PortMetrics),
		},
	}

	return service
}

func additionalService(in Input, managed v1.ManagedService) *corev1.Service {
	template := managed.ServiceTemplate
	service := newService(in, template.Metadata.Name)

	maps.Copy(service.Annotations, template.Metadata.Annotations)

	ours := naming.CommonLabels(in.Cluster.Name)
	maps.Copy(service.Labels, template.Metadata.Labels)
	maps.Copy(service.Labels, ours)

	template.Spec.DeepCopyInto(&service.Spec)
	service.Spec.Selector = selector(in.Cluster.Name, managed.SelectorType)

	if len(service.Spec.Ports) == 0 {
		service.Spec.Ports = []corev1.ServicePort{port(portNamePostgreSQL, naming.PortPostgreSQL)}
	}

	return service
}

func selector(cluster string, kind v1.ServiceSelectorType) map[string]string {
	switch kind {
	case v1.ServiceReadWrite:
		return naming.RoleSelectorLabels(cluster, naming.RolePrimary)
	case v1.ServiceReadOnly:
		return naming.RoleSelectorLabels(cluster, naming.RoleReplica)
	case v1.ServiceRead:
		return naming.SelectorLabels(cluster)
	default:
		return naming.SelectorLabels(cluster)
	}
}

func port(name string, number int32) corev1.ServicePort {
	return corev1.ServicePort{Name: name, Protocol: corev1.ProtocolTCP, Port: number, TargetPort: intstr.FromInt32(number)}
}
