package kube

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
)

// S3Port is the port of a test's S3 server.
const S3Port = 7070

const (
	s3Credentials = "aws-credentials"
	s3Bucket      = "backups"
	s3KeyID       = "ACCESS_KEY_ID"
	s3Key         = "SECRET_ACCESS_KEY"
)

// S3 is an S3 server (versitygw) for a test, on a volume, so that it can be stopped without losing what it has.
type S3 struct {
	Namespace, Name string
	Image           string
	// StorageClass of its volume; empty for the default one.
	StorageClass string
}

// Store is a folder of the server's bucket.
func (s S3) Store(folder string) *postgresqlv1.ObjectStore {
	key := func(name string) *corev1.SecretKeySelector {
		return &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: s3Credentials}, Key: name}
	}

	return &postgresqlv1.ObjectStore{
		DestinationPath: "s3://" + s3Bucket + "/" + folder,
		EndpointURL:     fmt.Sprintf("http://%s.%s.svc:%d", s.Name, s.Namespace, S3Port),
		S3Credentials:   &postgresqlv1.S3Credentials{AccessKeyID: key(s3KeyID), SecretAccessKey: key(s3Key)},
	}
}

// Objects to create. The Secret is the same for all servers of a namespace.
func (s S3) Objects() []client.Object {
	meta := metav1.ObjectMeta{Namespace: s.Namespace, Name: s.Name}
	labels := map[string]string{"app": s.Name}

	volume := &corev1.PersistentVolumeClaim{ObjectMeta: meta, Spec: corev1.PersistentVolumeClaimSpec{
		AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
	}}
	if s.StorageClass != "" {
		volume.Spec.StorageClassName = &s.StorageClass
	}

	return []client.Object{
		&corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: s3Credentials},
			StringData: map[string]string{s3KeyID: "caretaker", s3Key: "not-a-secret"},
		},
		volume,
		&corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{Selector: labels, Ports: []corev1.ServicePort{{Port: S3Port}}}},
		&appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Strategy: appsv1.DeploymentStrategy{Type: appsv1.RecreateDeploymentStrategyType},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: s.pod()},
		}},
	}
}

func (s S3) pod() corev1.PodSpec {
	secret := func(env, key string) corev1.EnvVar {
		return corev1.EnvVar{Name: env, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: s3Credentials}, Key: key,
		}}}
	}

	return corev1.PodSpec{
		TerminationGracePeriodSeconds: new(int64(1)),
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot: new(true), RunAsUser: new(int64(65532)), FSGroup: new(int64(65532)),
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		Containers: []corev1.Container{{
			Name: s.Name, Image: s.Image,
			// A folder of its root is a bucket.
			Command: []string{"/versitygw", "--port", fmt.Sprintf(":%d", S3Port), "posix", "--nometa", "/data"},
			Env:     []corev1.EnvVar{secret("ROOT_ACCESS_KEY", s3KeyID), secret("ROOT_SECRET_KEY", s3Key)},
			ReadinessProbe: &corev1.Probe{
				ProbeHandler:  corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(S3Port)}},
				PeriodSeconds: 1,
			},
			SecurityContext: &corev1.SecurityContext{
				AllowPrivilegeEscalation: new(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			},
			// It keeps its locks beside the buckets.
			VolumeMounts: []corev1.VolumeMount{
				{Name: "root", MountPath: "/data"}, {Name: "data", MountPath: "/data/" + s3Bucket, SubPath: s3Bucket},
			},
		}},
		Volumes: []corev1.Volume{
			{Name: "root", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
			{Name: "data", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: s.Name}}},
		},
	}
}
