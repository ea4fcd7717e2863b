package term

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

// Kube is the term record and the pod's role label in the Kubernetes API. It is a plain REST client: no informers, no
// discovery, no generated client sets, since PID 1 counts its megabytes.
type Kube struct {
	client    rest.Interface
	namespace string
	record    string
	pod       string
}

// NewKube makes a client for the record of a Cluster and its own pod.
func NewKube(config *rest.Config, namespace, cluster, pod string) (*Kube, error) {
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})

	config = rest.CopyConfig(config)
	config.APIPath = "/apis"
	config.GroupVersion = &postgresqlv1.GroupVersion
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	config.UserAgent = "caretaker-instance"
	// client-go's default of 5 requests a second made a takeover wait for its own reads, see ADR 0115. This is only a net.
	config.QPS, config.Burst = 50, 100

	client, err := rest.RESTClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("make a Kubernetes client: %w", err)
	}

	return &Kube{client: client, namespace: namespace, record: naming.ClusterTerm(cluster), pod: pod}, nil
}

func (k *Kube) path() string {
	version := postgresqlv1.GroupVersion

	return fmt.Sprintf("/apis/%s/%s/namespaces/%s/clusterterms/%s", version.Group, version.Version, k.namespace, k.record)
}

// Get reads the record live.
func (k *Kube) Get(ctx context.Context) (Record, error) {
	return decode(k.client.Get().AbsPath(k.path()).Do(ctx))
}

// CompareAndSwap writes the record if it still has that version.
func (k *Kube) CompareAndSwap(ctx context.Context, version string, spec postgresqlv1.ClusterTermSpec) (Record, error) {
	// A merge patch that names the resourceVersion is a compare-and-swap that keeps labels and owners as they are. A
	// field that is empty now must be removed by an explicit null, which spec's own encoding would leave out.
	body, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": version},
		"spec":     patchOf(spec),
	})
	if err != nil {
		return Record{}, fmt.Errorf("encode the term record: %w", err)
	}

	return decode(k.client.Patch(types.MergePatchType).AbsPath(k.path()).Body(body).Do(ctx))
}

func patchOf(spec postgresqlv1.ClusterTermSpec) map[string]any {
	content := map[string]any{
		"term": spec.Term, "bootstrap": orNull(spec.Bootstrap), "timeline": orNull(spec.Timeline),
		"established": spec.Established, "systemID": orNull(spec.SystemID), "primary": nil,
		"voters": nil, "acks": orNull(spec.Acks), "seq": orNull(spec.Seq), "pending": nil,
	}
	if holder := spec.Primary; holder != nil {
		content["primary"] = map[string]any{
			"memberID": holder.MemberID, "name": holder.Name, "podUID": orNull(holder.PodUID), "run": orNull(holder.Run),
		}
	}

	if len(spec.Voters) > 0 {
		content["voters"] = spec.Voters
	}

	if p := spec.Pending; p != nil {
		content["pending"] = map[string]any{
			"term": p.Term, "timeline": p.Timeline, "candidate": orNull(p.Candidate), "candidateName": orNull(p.CandidateName),
			"forced": orNull(p.Forced), "oldStopped": orNull(p.OldStopped), "minLSN": orNull(p.MinLSN),
			"request": orNull(p.Request), "target": orNull(p.Target),
		}
	}

	return content
}

func orNull[T comparable](value T) any {
	var zero T
	if value == zero {
		return nil
	}

	return value
}

func decode(result rest.Result) (Record, error) {
	var code int
	result.StatusCode(&code)

	body, err := result.Raw()

	switch {
	case code == http.StatusNotFound:
		return Record{}, ErrMissing
	case code == http.StatusConflict:
		return Record{}, ErrConflict
	case err != nil:
		return Record{}, fmt.Errorf("term record: %w", result.Error())
	}

	var object postgresqlv1.ClusterTerm
	if err := json.Unmarshal(body, &object); err != nil {
		return Record{}, fmt.Errorf("decode the term record: %w", err)
	}

	return Record{Spec: object.Spec, Version: object.ResourceVersion}, nil
}

// SetRole labels the own pod.
func (k *Kube) SetRole(ctx context.Context, role string) error {
	return k.patch(ctx, k.pod, types.MergePatchType, map[string]any{
		"metadata": map[string]any{"labels": map[string]string{naming.LabelRole: role}},
	})
}

// Role is what the own pod's label says; empty if it has none.
func (k *Kube) Role(ctx context.Context) (string, error) {
	body, err := k.client.Get().AbsPath(k.podPath(k.pod)).SetHeader("Accept", metadataOnly).Do(ctx).Raw()
	if err != nil {
		return "", fmt.Errorf("read the pod %s: %w", k.pod, err)
	}

	var found metav1.PartialObjectMetadata
	if err := json.Unmarshal(body, &found); err != nil {
		return "", fmt.Errorf("decode the pod %s: %w", k.pod, err)
	}

	return found.Labels[naming.LabelRole], nil
}

// metadataOnly asks for an object without its spec and status.
const metadataOnly = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"

// StripPrimary takes the label off another pod if it says primary. It does not say replica in its place: a pod that did not
// do it itself may be lost with its node, and no client is to be sent there. One that does not exist is no primary.
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

// terminatedPod is what is read of a pod.
type terminatedPod struct {
	Metadata struct {
		UID string `json:"uid"`
	} `json:"metadata"`
	Status struct {
		ContainerStatuses []struct {
			State     containerState `json:"state"`
			LastState containerState `json:"lastState"`
		} `json:"containerStatuses"`
	} `json:"status"`
}

type containerState struct {
	Terminated *struct {
		Message string `json:"message"`
	} `json:"terminated"`
}

// Terminations reads a pod live: its UID, and what the containers that have ended left in their termination logs.
func (k *Kube) Terminations(ctx context.Context, pod string) (podUID string, messages []string, err error) {
	body, err := k.client.Get().AbsPath(k.podPath(pod)).Do(ctx).Raw()
	if err != nil {
		return "", nil, fmt.Errorf("read the pod %s: %w", pod, err)
	}

	var found terminatedPod
	if err := json.Unmarshal(body, &found); err != nil {
		return "", nil, fmt.Errorf("decode the pod %s: %w", pod, err)
	}

	for _, container := range found.Status.ContainerStatuses {
		for _, state := range []containerState{container.State, container.LastState} {
			if state.Terminated != nil {
				messages = append(messages, state.Terminated.Message)
			}
		}
	}

	return found.Metadata.UID, messages, nil
}

func (k *Kube) podPath(pod string) string {
	return fmt.Sprintf("/api/v1/namespaces/%s/pods/%s", k.namespace, pod)
}

func (k *Kube) patch(ctx context.Context, pod string, kind types.PatchType, content any) error {
	body, err := json.Marshal(content)
	if err != nil {
		return fmt.Errorf("encode the role label: %w", err)
	}

	if err := k.client.Patch(kind).AbsPath(k.podPath(pod)).Body(body).Do(ctx).Error(); err != nil {
		return fmt.Errorf("label the pod %s: %w", pod, err)
	}

	return nil
}
