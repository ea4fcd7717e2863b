package mysql

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	databasev1 "github.com/caretaker-dev/caretaker/api/database/v1"
	"github.com/caretaker-dev/caretaker/internal/apply/owned"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/mysqld"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/internal/podspec"
)

// Names in a pod.
const (
	containerMySQL   = "mysql"
	containerInstall = "install"
	volumeData       = "data"
	portNameMySQL    = "mysql"
	portNameStatus   = "status"
)

// annotationVersion on the StatefulSet is the release series that its data have.
const annotationVersion = "caretaker.dev/mysql-version"

// userID is the official image's.
const userID = 999

// gracePeriod is how long, in seconds, a pod may take to stop; mysqld has most of it.
const gracePeriod = 120

// database and user of the application, as in a Cluster.
const appName = "app"

// input is everything that the objects are made from.
type input struct {
	object   *databasev1.MySQL
	owner    owned.Owner
	replicas int32
	// image of MySQL and version of it.
	image, version string
	// operatorImage holds PID 1's binary.
	operatorImage, pullPolicy string
	storageClass              *string
	// templateStorage is the size in the StatefulSet's template, which cannot change.
	templateStorage string
	// passwords: app, root, replication.
	app, root, replication string
}

func secretInternal(name string) string { return name + "-internal" }

// group is the UUID of a MySQL's group: the same for each that is made again on the volumes of the one before.
func group(namespace, name string) string {
	sum := sha256.Sum256([]byte("caretaker.dev/mysql/" + namespace + "/" + name))
	sum[6] = sum[6]&0x0f | 0x80 // version 8: made in a way of our own
	sum[8] = sum[8]&0x3f | 0x80

	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[0:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

// objects of a MySQL, in the order to write them: each only refers to earlier ones.
func objects(in input) []owned.Object {
	list := []owned.Object{
		appSecret(in), internalSecret(in), serviceAccount(in), role(in), roleBinding(in),
		service(in, naming.ServiceReadWrite(in.object.Name), naming.RolePrimary),
		service(in, naming.ServiceReadOnly(in.object.Name), naming.RoleReplica),
		members(in),
	}

	if in.replicas > 1 {
		list = append(list, podDisruptionBudget(in))
	}

	return append(list, statefulSet(in))
}

func selector(in input) map[string]string {
	return map[string]string{naming.LabelMySQL: in.object.Name}
}

func host(in input, service string) string { return service + "." + in.object.Namespace + ".svc" }

func appSecret(in input) *corev1.Secret {
	port := strconv.Itoa(naming.PortMySQL)
	uri := func(service string) string {
		u := url.URL{
			Scheme: "mysql", User: url.UserPassword(appName, in.app), Host: host(in, service) + ":" + port, Path: "/" + appName,
			RawQuery: "ssl-mode=REQUIRED",
		}

		return u.String()
	}
	primary, replicas := naming.ServiceReadWrite(in.object.Name), naming.ServiceReadOnly(in.object.Name)

	return secret(in, naming.SecretApp(in.object.Name), corev1.SecretTypeBasicAuth, map[string]string{
		"username": appName, "user": appName, "password": in.app, "dbname": appName,
		"host": host(in, primary), "port": port, "uri": uri(primary),
		"ro-host": host(in, replicas), "ro-uri": uri(replicas),
	})
}

func internalSecret(in input) *corev1.Secret {
	return secret(in, secretInternal(in.object.Name), corev1.SecretTypeOpaque, map[string]string{
		"root-password": in.root, "replication-password": in.replication,
	})
}

func secret(in input, name string, kind corev1.SecretType, data map[string]string) *corev1.Secret {
	encoded := map[string][]byte{}
	for key, value := range data {
		encoded[key] = []byte(value)
	}

	return &corev1.Secret{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}, ObjectMeta: in.owner.Meta(name), Type: kind, Data: encoded,
	}
}

func serviceAccount(in input) *corev1.ServiceAccount {
	return &corev1.ServiceAccount{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"}, ObjectMeta: in.owner.Meta(in.object.Name),
	}
}

// role is all that PID 1 may do: annotate and label its own pod, and take a label off another.
func role(in input) *rbacv1.Role {
	var pods []string
	for i := range naming.MaxMySQLMembers {
		pods = append(pods, naming.Instance(in.object.Name, i))
	}

	return &rbacv1.Role{
		TypeMeta:   metav1.TypeMeta{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "Role"},
		ObjectMeta: in.owner.Meta(in.object.Name),
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"pods"}, ResourceNames: pods, Verbs: []string{"get", "patch"}}},
	}
}

func roleBinding(in input) *rbacv1.RoleBinding {
	return &rbacv1.RoleBinding{
		TypeMeta:   metav1.TypeMeta{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "RoleBinding"},
		ObjectMeta: in.owner.Meta(in.object.Name),
		RoleRef:    rbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: "Role", Name: in.object.Name},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Name: in.object.Name, Namespace: in.object.Namespace}},
	}
}

func service(in input, name, role string) *corev1.Service {
	selector := selector(in)
	selector[naming.LabelRole] = role

	return &corev1.Service{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Service"}, ObjectMeta: in.owner.Meta(name),
		Spec: corev1.ServiceSpec{Selector: selector, Ports: ports()},
	}
}

// members gives each pod a name, ready or not: members find each other by it.
func members(in input) *corev1.Service {
	return &corev1.Service{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Service"}, ObjectMeta: in.owner.Meta(naming.ServiceMembers(in.object.Name)),
		Spec: corev1.ServiceSpec{
			ClusterIP: corev1.ClusterIPNone, PublishNotReadyAddresses: true, Selector: selector(in), Ports: ports(),
		},
	}
}

func ports() []corev1.ServicePort {
	return []corev1.ServicePort{{
		Name: portNameMySQL, Port: naming.PortMySQL, TargetPort: intstr.FromString(portNameMySQL), Protocol: corev1.ProtocolTCP,
	}}
}

// podDisruptionBudget lets a drain take one member at a time: the others are a majority.
func podDisruptionBudget(in input) *policyv1.PodDisruptionBudget {
	one := intstr.FromInt32(1)

	return &policyv1.PodDisruptionBudget{
		TypeMeta: metav1.TypeMeta{APIVersion: "policy/v1", Kind: "PodDisruptionBudget"}, ObjectMeta: in.owner.Meta(in.object.Name),
		Spec: policyv1.PodDisruptionBudgetSpec{MaxUnavailable: &one, Selector: &metav1.LabelSelector{MatchLabels: selector(in)}},
	}
}

// statefulSet starts all members at once: after an outage none of them becomes ready alone.
func statefulSet(in input) *appsv1.StatefulSet {
	m := in.owner.Meta(in.object.Name)
	if m.Annotations == nil {
		m.Annotations = map[string]string{}
	}

	m.Annotations[annotationVersion] = in.version

	deleted := appsv1.RetainPersistentVolumeClaimRetentionPolicyType
	if in.object.Spec.DeletionPolicy == databasev1.DeletionPolicyDelete {
		deleted = appsv1.DeletePersistentVolumeClaimRetentionPolicyType
	}

	return &appsv1.StatefulSet{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "StatefulSet"},
		ObjectMeta: m,
		Spec: appsv1.StatefulSetSpec{
			Replicas:            &in.replicas,
			ServiceName:         naming.ServiceMembers(in.object.Name),
			PodManagementPolicy: appsv1.ParallelPodManagement,
			Selector:            &metav1.LabelSelector{MatchLabels: selector(in)},
			PersistentVolumeClaimRetentionPolicy: &appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{
				WhenDeleted: deleted, WhenScaled: appsv1.RetainPersistentVolumeClaimRetentionPolicyType,
			},
			Template:             template(in),
			VolumeClaimTemplates: []corev1.PersistentVolumeClaim{claim(in)},
		},
	}
}

func claim(in input) corev1.PersistentVolumeClaim {
	size := resource.MustParse(in.templateStorage) // the CRD demands a quantity

	// Without a kind: a StatefulSet that is read as protobuf has none there, and would never be as it should be.
	return corev1.PersistentVolumeClaim{
		// It cannot change later: no labels of the user's.
		ObjectMeta: metav1.ObjectMeta{Name: volumeData, Labels: map[string]string{
			naming.LabelMySQL: in.object.Name, naming.LabelManagedBy: naming.ManagedBy,
		}},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes:      []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			StorageClassName: in.storageClass,
			Resources:        corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: size}},
		},
	}
}

func template(in input) corev1.PodTemplateSpec {
	uid, nonRoot, onRootMismatch, grace := int64(userID), true, corev1.FSGroupChangeOnRootMismatch, int64(gracePeriod)

	labels := maps.Clone(in.owner.CommonLabels())
	labels["app.kubernetes.io/component"] = "database"

	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: map[string]string{"kubectl.kubernetes.io/default-container": containerMySQL}},
		Spec: corev1.PodSpec{
			ServiceAccountName:            in.object.Name,
			TerminationGracePeriodSeconds: &grace,
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot: &nonRoot, RunAsUser: &uid, RunAsGroup: &uid, FSGroup: &uid, FSGroupChangePolicy: &onRootMismatch,
				SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			Affinity: &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
				PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{{
					Weight: 100,
					PodAffinityTerm: corev1.PodAffinityTerm{
						LabelSelector: &metav1.LabelSelector{MatchLabels: selector(in)}, TopologyKey: corev1.LabelHostname,
					},
				}},
			}},
			InitContainers: []corev1.Container{{
				Name: containerInstall, Image: in.operatorImage, ImagePullPolicy: corev1.PullPolicy(in.pullPolicy),
				Command:         []string{"/caretaker-instance", "install", "--without-archive", "--to", instanceapi.BinDir},
				Resources:       in.object.Spec.Resources,
				SecurityContext: podspec.ContainerSecurity(),
				VolumeMounts:    []corev1.VolumeMount{{Name: "bin", MountPath: instanceapi.BinDir}},
			}},
			Containers: []corev1.Container{container(in)},
			Volumes:    volumes(in),
		},
	}
}

func container(in input) corev1.Container {
	field := func(name, path string) corev1.EnvVar {
		return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: path}}}
	}

	environment := []corev1.EnvVar{
		{Name: instanceapi.EnvCluster, Value: in.object.Name},
		{Name: instanceapi.EnvMySQLGroup, Value: group(in.object.Namespace, in.object.Name)},
		field(instanceapi.EnvPodName, "metadata.name"),
		field(instanceapi.EnvNamespace, "metadata.namespace"),
		field(instanceapi.EnvPodUID, "metadata.uid"),
	}

	// Without a limit it would be the node's.
	if limit, ok := in.object.Spec.Resources.Limits[corev1.ResourceMemory]; ok {
		environment = append(environment, corev1.EnvVar{Name: instanceapi.EnvMemoryLimit, Value: strconv.FormatInt(limit.Value(), 10)})
	}

	return corev1.Container{
		Name: containerMySQL, Image: in.image,
		Command: []string{instanceapi.Binary, "mysql"}, Env: environment, Resources: in.object.Spec.Resources,
		SecurityContext: podspec.ContainerSecurity(), VolumeMounts: mounts(),
		Ports: []corev1.ContainerPort{
			{Name: portNameMySQL, ContainerPort: naming.PortMySQL, Protocol: corev1.ProtocolTCP},
			{Name: portNameStatus, ContainerPort: naming.PortStatus, Protocol: corev1.ProtocolTCP},
		},
		LivenessProbe:  probe("/healthz", 10, 6),
		ReadinessProbe: probe("/readyz", 1, 3),
	}
}

func probe(path string, periodSeconds, failures int32) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{
			Path: path, Port: intstr.FromString(portNameStatus), Scheme: corev1.URISchemeHTTP,
		}},
		PeriodSeconds: periodSeconds, TimeoutSeconds: 5, FailureThreshold: failures, SuccessThreshold: 1,
	}
}

func volumes(in input) []corev1.Volume {
	list := []corev1.Volume{}

	for name, medium := range map[string]corev1.StorageMedium{
		"bin": corev1.StorageMediumDefault, "tmp": corev1.StorageMediumDefault,
		"run": corev1.StorageMediumMemory, "socket": corev1.StorageMediumMemory,
	} {
		list = append(list, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: medium}}})
	}

	slices.SortFunc(list, func(a, b corev1.Volume) int {
		if a.Name < b.Name {
			return -1
		}

		return 1
	})

	return append(list,
		podspec.SecretVolume("app-credentials", naming.SecretApp(in.object.Name), "username", "password", "dbname"),
		podspec.SecretVolume("internal-credentials", secretInternal(in.object.Name), "root-password", "replication-password"))
}

func mounts() []corev1.VolumeMount {
	return []corev1.VolumeMount{
		{Name: volumeData, MountPath: mysqld.VolumeDir},
		{Name: "bin", MountPath: instanceapi.BinDir, ReadOnly: true},
		{Name: "tmp", MountPath: mysqld.TmpDir},
		{Name: "run", MountPath: mysqld.RunDir},
		{Name: "socket", MountPath: mysqld.SocketDir},
		{Name: "app-credentials", MountPath: mysqld.CredentialsDir + "/app", ReadOnly: true},
		{Name: "internal-credentials", MountPath: mysqld.CredentialsDir + "/internal", ReadOnly: true},
	}
}
