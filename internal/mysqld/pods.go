package mysqld

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/caretaker-dev/caretaker/internal/naming"
)

// Kube is Pods in the Kubernetes API: a plain REST client, since PID 1 counts its megabytes.
type Kube struct {
	client         rest.Interface
	namespace, pod string
}

// NewKube makes a client for a pod.
func NewKube(config *rest.Config, namespace, pod string) (*Kube, error) {
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})

	config = rest.CopyConfig(config)
	config.APIPath = "/api"
	config.GroupVersion = &schema.GroupVersion{Version: "v1"}
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	config.UserAgent = "caretaker-instance"

	client, err := rest.RESTClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("make a Kubernetes client: %w", err)
	}

	return &Kube{client: client, namespace: namespace, pod: pod}, nil
}

func (k *Kube) path(pod string) string {
	return fmt.Sprintf("/api/v1/namespaces/%s/pods/%s", k.namespace, pod)
}

// Tell writes the annotation and the role label at once.
func (k *Kube) Tell(ctx context.Context, member Member) error {
	var role any
	if member.Role != "" {
		role = member.Role
	}

	return k.patch(ctx, k.pod, types.MergePatchType, map[string]any{"metadata": map[string]any{
		"labels":      map[string]any{naming.LabelRole: role},
		"annotations": map[string]any{AnnotationMember: member.Encode()},
	}})
}

// Order reads the own pod.
func (k *Kube) Order(ctx context.Context) (string, error) {
	body, err := k.client.Get().AbsPath(k.path(k.pod)).Do(ctx).Raw()
	if err != nil {
		return "", fmt.Errorf("read the own pod: %w", err)
	}

	var pod struct {
		Metadata struct {
			Annotations map[string]string `json:"annotations"`
		} `json:"metadata"`
	}

	if err := json.Unmarshal(body, &pod); err != nil {
		return "", fmt.Errorf("decode the own pod: %w", err)
	}

	return pod.Metadata.Annotations[AnnotationBegin], nil
}

// StripPrimary takes the label off another pod if it says primary.
func (k *Kube) StripPrimary(ctx context.Context, instance string) error {
	path := "/metadata/labels/" + strings.ReplaceAll(naming.LabelRole, "/", "~1")

	err := k.patch(ctx, instance, types.JSONPatchType, []map[string]string{
		{"op": "test", "path": path, "value": naming.RolePrimary},
		{"op": "remove", "path": path},
	})
	if apierrors.IsNotFound(err) || apierrors.IsInvalid(err) { // invalid: the test failed
		return nil
	}

	return err
}

func (k *Kube) patch(ctx context.Context, pod string, kind types.PatchType, content any) error {
	body, err := json.Marshal(content)
	if err != nil {
		return fmt.Errorf("encode a patch: %w", err)
	}

	if err := k.client.Patch(kind).AbsPath(k.path(pod)).Body(body).Do(ctx).Error(); err != nil {
		return fmt.Errorf("patch the pod %s: %w", pod, err)
	}

	return nil
}
