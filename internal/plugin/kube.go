package plugin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/streaming/pkg/httpstream"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

const (
	// container of an instance's pod that PostgreSQL runs in.
	container = "postgres"
	// instanceTimeout is how long an instance may take to answer.
	instanceTimeout = 4 * time.Second
	// maxAnswer bounds what is read of an answer.
	maxAnswer = 1 << 20
)

// Kube is the Kubernetes API as the commands need it.
type Kube struct {
	config *rest.Config
	client rest.Interface
}

// NewKube makes a client.
func NewKube(config *rest.Config) (*Kube, error) {
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})

	config = rest.CopyConfig(config)
	config.APIPath = "/apis"
	config.GroupVersion = &v1.GroupVersion
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()

	client, err := rest.RESTClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("make a Kubernetes client: %w", err)
	}

	return &Kube{config: config, client: client}, nil
}

func clustersPath(namespace string) string { return path(v1.GroupVersion, namespace, "clusters") }

func backupsPath(namespace string) string { return path(v1.GroupVersion, namespace, "backups") }

func path(of schema.GroupVersion, namespace, resource string) string {
	return fmt.Sprintf("/apis/%s/namespaces/%s/%s", of, namespace, resource)
}

// Cluster reads a Cluster.
func (k *Kube) Cluster(ctx context.Context, key types.NamespacedName) (*v1.Cluster, error) {
	cluster := &v1.Cluster{}
	if err := k.get(ctx, clustersPath(key.Namespace)+"/"+key.Name, cluster); err != nil {
		return nil, err
	}

	return cluster, nil
}

// Clusters are the names of a namespace's Clusters.
func (k *Kube) Clusters(ctx context.Context, namespace string) ([]string, error) {
	list := &v1.ClusterList{}
	if err := k.get(ctx, clustersPath(namespace), list); err != nil {
		return nil, err
	}

	names := make([]string, 0, len(list.Items))
	for _, cluster := range list.Items {
		names = append(names, cluster.Name)
	}

	return names, nil
}

// Backup reads a Backup.
func (k *Kube) Backup(ctx context.Context, key types.NamespacedName) (*v1.Backup, error) {
	backup := &v1.Backup{}
	if err := k.get(ctx, backupsPath(key.Namespace)+"/"+key.Name, backup); err != nil {
		return nil, err
	}

	return backup, nil
}

// Backups are the names of a namespace's Backups.
func (k *Kube) Backups(ctx context.Context, namespace string) ([]string, error) {
	list := &v1.BackupList{}
	if err := k.get(ctx, backupsPath(namespace), list); err != nil {
		return nil, err
	}

	names := make([]string, 0, len(list.Items))
	for _, backup := range list.Items {
		names = append(names, backup.Name)
	}

	return names, nil
}

// Retained are the volumes that a Cluster of that name would take up when it is made.
func (k *Kube) Retained(ctx context.Context, key types.NamespacedName) ([]string, error) {
	list := &corev1.PersistentVolumeClaimList{}
	request := k.client.Get().AbsPath("/api/v1/namespaces/"+key.Namespace+"/persistentvolumeclaims").
		Param("labelSelector", naming.LabelCluster+"="+key.Name+",!"+naming.LabelSetAside)

	if err := decode(request.Do(ctx), list); err != nil {
		return nil, err
	}

	names := make([]string, 0, len(list.Items))
	for _, volume := range list.Items {
		names = append(names, volume.Name)
	}

	return names, nil
}

// CreateBackup makes a Backup.
func (k *Kube) CreateBackup(ctx context.Context, backup *v1.Backup) error {
	return k.create(ctx, backupsPath(backup.Namespace), backup, &v1.Backup{})
}

// CreateCluster makes a Cluster.
func (k *Kube) CreateCluster(ctx context.Context, cluster *v1.Cluster) error {
	return k.create(ctx, clustersPath(cluster.Namespace), cluster, &v1.Cluster{})
}

// RecoverInPlace sets spec.recoverInPlace of a Cluster, in place of an earlier wish.
func (k *Kube) RecoverInPlace(ctx context.Context, key types.NamespacedName, wish v1.RecoverInPlace) error {
	body, err := json.Marshal([]map[string]any{{"op": "add", "path": "/spec/recoverInPlace", "value": wish}})
	if err != nil {
		return fmt.Errorf("encode the wish: %w", err)
	}

	_, err = k.client.Patch(types.JSONPatchType).AbsPath(clustersPath(key.Namespace) + "/" + key.Name).Body(body).Do(ctx).Raw()

	return err //nolint:wrapcheck // the API server's own words, which the caller completes
}

// create an object; made is what the API server has made of it.
func (k *Kube) create(ctx context.Context, path string, object, made any) error {
	body, err := json.Marshal(object)
	if err != nil {
		return fmt.Errorf("encode the object: %w", err)
	}

	return decode(k.client.Post().AbsPath(path).SetHeader("Content-Type", "application/json").Body(body).Do(ctx), made)
}

func (k *Kube) get(ctx context.Context, path string, into any) error {
	return decode(k.client.Get().AbsPath(path).Do(ctx), into)
}

func decode(result rest.Result, into any) error {
	// Errors first: the body of one is no object of ours. Ours are of kinds that the client's own decoder does not know.
	if err := result.Error(); err != nil && !runtime.IsNotRegisteredError(err) {
		return err //nolint:wrapcheck // the API server's own words, which the caller completes
	}

	body, err := result.Raw()
	if err != nil {
		return err //nolint:wrapcheck // as above
	}

	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("read the answer of the API server: %w", err)
	}

	return nil
}

// Annotate sets an annotation of a Cluster.
func (k *Kube) Annotate(ctx context.Context, key types.NamespacedName, name, value string) error {
	body, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{name: value}}})
	if err != nil {
		return fmt.Errorf("encode the annotation: %w", err)
	}

	_, err = k.client.Patch(types.MergePatchType).AbsPath(clustersPath(key.Namespace) + "/" + key.Name).Body(body).Do(ctx).Raw()

	return err //nolint:wrapcheck // the API server's own words, which the caller completes
}

// ErrNoRight is the error of Live where the user may not exec in pods.
var ErrNoRight = errors.New("you may not exec in pods of this namespace (create pods/exec)")

// Live asks an instance for its own status.
func (k *Kube) Live(ctx context.Context, namespace, pod string) (instanceapi.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, instanceTimeout)
	defer cancel()

	request := k.client.Get().AbsPath("/api/v1/namespaces/"+namespace+"/pods/"+pod+"/exec").
		Param("container", container).Param("stdout", "true").Param("stderr", "true").
		Param("command", instanceapi.Binary).Param("command", "status")

	executor, err := remotecommand.NewWebSocketExecutor(k.config, "GET", request.URL().String())
	if err != nil {
		return instanceapi.Status{}, fmt.Errorf("exec in %s: %w", pod, err)
	}

	var out, problems limited
	if err := executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: &out, Stderr: &problems}); err != nil {
		return instanceapi.Status{}, plainExecError(err, strings.TrimSpace(problems.String()))
	}

	var status instanceapi.Status
	if err := json.Unmarshal(out.Bytes(), &status); err != nil {
		return instanceapi.Status{}, fmt.Errorf("its answer cannot be read: %w", err)
	}

	return status, nil
}

// plainExecError says in a few words why a pod did not answer.
func plainExecError(err error, said string) error {
	if upgrade, ok := errors.AsType[*httpstream.UpgradeFailureError](err); ok {
		err = upgrade.Cause
	}

	switch {
	case apierrors.IsForbidden(err):
		return ErrNoRight
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer within %s", instanceTimeout)
	case strings.Contains(said, "unknown command"):
		return errors.New("its instance manager is older than this plugin")
	case said != "":
		return errors.New(strings.TrimPrefix(said, "caretaker-instance: "))
	case apierrors.IsNotFound(err):
		return errors.New("it has no pod")
	default:
		return fmt.Errorf("exec failed: %w", err)
	}
}

// limited keeps no more than it should of an answer.
type limited struct{ bytes.Buffer }

// Write takes what fits.
func (l *limited) Write(p []byte) (int, error) {
	if l.Len()+len(p) > maxAnswer {
		return 0, fmt.Errorf("an answer of more than %d bytes", maxAnswer)
	}

	return l.Buffer.Write(p)
}
