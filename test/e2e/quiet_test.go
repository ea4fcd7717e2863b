package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/caretaker-dev/caretaker/test/internal/kube"
)

// The bounds that are promised. Applying takes longer here than the promise where something else runs on the machine;
// `make bench-apply` measures it properly.
const (
	applyBound      = 60 * time.Second
	operatorBoundMB = 60
	instanceBoundMB = 40
	quietFor        = time.Minute
	quietForLong    = 10 * time.Minute
	operatorMetrics = "8080"
)

// TestQuiet measures what only an undisturbed cluster shows: how fast a Cluster starts, that nobody writes when nothing
// happens, how much memory is used, and that an operator upgrade restarts no database. It runs before the parallel tests.
func TestQuiet(t *testing.T) {
	f := newFixture(t, "quiet")

	step(t, f, "three instances are ready soon after apply", readySoon)
	step(t, f, "memory", memory)
	step(t, f, "no writes while nothing happens", idle)
	step(t, f, "an operator upgrade restarts no database", operatorUpgrade)
}

func readySoon(t *testing.T, f *fixture) {
	t.Helper()

	began := time.Now()
	f.start(t, f.newCluster(3))

	took := time.Since(began)
	t.Logf("apply → 3 of 3 ready: %.1f s", took.Seconds())

	if took > applyBound {
		t.Errorf("it took %v; the bound is %v", took, applyBound)
	}
}

func memory(t *testing.T, f *fixture) {
	t.Helper()

	for _, instance := range f.instances(t) {
		rss := residentMB(t, f, instance)
		t.Logf("PID 1 of %s: %d MB resident", instance, rss)

		if rss > instanceBoundMB {
			t.Errorf("PID 1 of %s uses %d MB, more than %d MB", instance, rss, instanceBoundMB)
		}
	}

	for pod, rss := range operatorMB(t, f) {
		t.Logf("operator %s: %.0f MB resident", pod, rss)

		if rss > operatorBoundMB {
			t.Errorf("operator %s uses %.0f MB, more than %d MB", pod, rss, operatorBoundMB)
		}
	}
}

// residentMB is the resident memory of PID 1 in a database pod.
func residentMB(t *testing.T, f *fixture, instance string) int {
	t.Helper()

	out, err := f.Exec(t.Context(), f.container(instance), "sh", "-c", "grep VmRSS /proc/1/status")
	if err != nil {
		t.Fatalf("read memory of %s: %v", instance, err)
	}

	fields := strings.Fields(out)
	if len(fields) < 2 {
		t.Fatalf("read memory of %s: %q", instance, out)
	}

	kb, err := strconv.Atoi(fields[1])
	if err != nil {
		t.Fatalf("read memory of %s: %v", instance, err)
	}

	return kb / 1024
}

// operatorMB is the resident memory of each operator pod, as its own metrics have it.
func operatorMB(t *testing.T, f *fixture) map[string]float64 {
	t.Helper()

	memory := map[string]float64{}

	for _, pod := range operatorPods(t, f) {
		content, err := f.Clientset.CoreV1().Pods(pod.Namespace).ProxyGet("http", pod.Name, operatorMetrics, "/metrics", nil).DoRaw(t.Context())
		if err != nil {
			t.Fatalf("read metrics of %s: %v", pod.Name, err)
		}

		for line := range strings.Lines(string(content)) {
			value, found := strings.CutPrefix(strings.TrimSpace(line), "process_resident_memory_bytes ")
			if !found {
				continue
			}

			bytes, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Fatalf("read metrics of %s: %v", pod.Name, err)
			}

			memory[pod.Name] = bytes / (1 << 20)
		}

		if memory[pod.Name] == 0 {
			t.Fatalf("the metrics of %s say nothing of its memory", pod.Name)
		}
	}

	return memory
}

func operatorPods(t *testing.T, f *fixture) []corev1.Pod {
	t.Helper()

	deployment := &appsv1.Deployment{}
	key := client.ObjectKey{Namespace: f.environment.namespace, Name: f.environment.deployment}

	if err := f.Client.Get(t.Context(), key, deployment); err != nil {
		t.Fatalf("get the operator's deployment: %v", err)
	}

	var pods corev1.PodList

	err := f.Client.List(t.Context(), &pods, client.InNamespace(key.Namespace), client.MatchingLabels(deployment.Spec.Selector.MatchLabels))
	if err != nil {
		t.Fatalf("list the operator's pods: %v", err)
	}

	return pods.Items
}

// idle reads the audit log of a while in which nothing happens.
func idle(t *testing.T, f *fixture) {
	t.Helper()

	file, err := os.Open(f.environment.auditLog)
	if err != nil {
		t.Skipf("the API server's audit log cannot be read here (CARETAKER_AUDIT_LOG): %v", err)
	}

	defer func() { _ = file.Close() }()

	duration := quietFor
	if f.environment.long {
		duration = quietForLong
	}

	during := func(duration time.Duration) (writes []string, reads int) {
		from := time.Now()
		time.Sleep(duration)

		if _, err := file.Seek(0, io.SeekStart); err != nil {
			t.Fatalf("read audit log: %v", err)
		}

		writes, reads, err := audited(file, from, f.environment.namespace, f.namespace)
		if err != nil {
			t.Fatalf("read audit log: %v", err)
		}

		return writes, reads
	}

	// What followed from becoming ready may still be on its way, beside other tests for a while.
	for range 4 {
		writes, _ := during(20 * time.Second)
		if len(writes) == 0 {
			break
		}

		t.Logf("not at rest yet: %s", strings.Join(writes[:min(len(writes), 5)], "\n"))
	}

	before := f.cluster(t)
	writes, reads := during(duration)

	if reads == 0 {
		t.Error("the audit log shows no request of ours at all, so it cannot tell anything")
	}

	t.Logf("in %v: %d writes, %d other requests (leases included)", duration, len(writes), reads)

	if len(writes) > 0 {
		t.Errorf("%d writes although nothing happened, such as:\n%s", len(writes), strings.Join(writes[:min(len(writes), 20)], "\n"))
		t.Logf("what changed in the Cluster (-before +after):\n%s", cmp.Diff(before.Status, f.cluster(t).Status))
	}
}

type auditEvent struct {
	Verb                     string
	RequestURI               string
	RequestReceivedTimestamp time.Time
	User                     struct{ Username string }
	ObjectRef                struct{ Resource, Subresource, Namespace, Name string }
}

// audited are the writes of the operator and of a namespace's instances since a moment, but for leases, and the number
// of their other requests.
func audited(file *os.File, from time.Time, operator, namespace string) (writes []string, others int, err error) {
	users := []string{"system:serviceaccount:" + operator + ":", "system:serviceaccount:" + namespace + ":"}

	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 16<<20)

	for lines.Scan() {
		var event auditEvent
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
			return nil, 0, fmt.Errorf("audit event: %w", err)
		}

		if event.RequestReceivedTimestamp.Before(from) ||
			!strings.HasPrefix(event.User.Username, users[0]) && !strings.HasPrefix(event.User.Username, users[1]) {
			continue
		}

		// Clusters of others on the same Kubernetes cluster may have something to do.
		if ns := event.ObjectRef.Namespace; ns != "" && ns != operator && ns != namespace {
			continue
		}

		switch event.Verb {
		case "create", "update", "patch", "delete", "deletecollection":
			if event.ObjectRef.Resource != "leases" && event.ObjectRef.Resource != "tokenreviews" && event.ObjectRef.Resource != "subjectaccessreviews" {
				writes = append(writes, event.User.Username+" "+event.Verb+" "+event.RequestURI)

				continue
			}
		}

		others++
	}

	return writes, others, lines.Err()
}

// operatorUpgrade replaces the operator's pods by ones that name another image, as a new release does.
func operatorUpgrade(t *testing.T, f *fixture) {
	t.Helper()

	starts, uids := f.postmasterStarts(t), f.podUIDs(t)
	key := client.ObjectKey{Namespace: f.environment.namespace, Name: f.environment.deployment}

	before := &appsv1.Deployment{}
	if err := f.Client.Get(t.Context(), key, before); err != nil {
		t.Fatalf("get the operator's deployment: %v", err)
	}

	t.Cleanup(func() { setOperator(t, f, key, before.Spec.Template) })

	upgraded := *before.Spec.Template.DeepCopy()
	renameOperatorImage(&upgraded)
	setOperator(t, f, key, upgraded)

	// Long enough for a leader to be elected and for several passes.
	time.Sleep(30 * time.Second)
	f.waitReady(t)

	if diff := cmp.Diff(uids, f.podUIDs(t)); diff != "" {
		t.Errorf("pods were replaced (-before +after):\n%s", diff)
	}

	if diff := cmp.Diff(starts, f.postmasterStarts(t)); diff != "" {
		t.Errorf("PostgreSQL was restarted (-before +after):\n%s", diff)
	}
}

// renameOperatorImage gives the operator another name for its own image wherever a database pod would get it from: the
// arguments and the environment. The pod itself keeps an image that exists.
func renameOperatorImage(template *corev1.PodTemplateSpec) {
	if template.Annotations == nil {
		template.Annotations = map[string]string{}
	}

	template.Annotations["caretaker.dev/e2e"] = "upgraded"

	for i := range template.Spec.Containers {
		container := &template.Spec.Containers[i]

		for j, arg := range container.Args {
			container.Args[j] = strings.ReplaceAll(arg, container.Image, container.Image+"-next")
		}

		for j, variable := range container.Env {
			container.Env[j].Value = strings.ReplaceAll(variable.Value, container.Image, container.Image+"-next")
		}
	}
}

func setOperator(t *testing.T, f *fixture, key client.ObjectKey, template corev1.PodTemplateSpec) {
	t.Helper()

	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()

	deployment := &appsv1.Deployment{}
	if err := f.Client.Get(ctx, key, deployment); err != nil {
		t.Fatalf("get the operator's deployment: %v", err)
	}

	deployment.Spec.Template = template
	if err := f.Client.Update(ctx, deployment); err != nil {
		t.Fatalf("update the operator's deployment: %v", err)
	}

	kube.EventuallyWith(ctx, t, "the operator's deployment is rolled out", func(ctx context.Context) error {
		if err := f.Client.Get(ctx, key, deployment); err != nil {
			return err
		}

		s := deployment.Status
		if s.ObservedGeneration != deployment.Generation || s.UpdatedReplicas != s.Replicas || s.AvailableReplicas != s.Replicas || s.Replicas == 0 {
			return errors.New("not yet")
		}

		return nil
	})
}
