package kube

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	appsv1 "github.com/caretaker-dev/caretaker/api/apps/v1"
	backupv1 "github.com/caretaker-dev/caretaker/api/backup/v1"
	configv1 "github.com/caretaker-dev/caretaker/api/config/v1"
	databasev1 "github.com/caretaker-dev/caretaker/api/database/v1"
	platformv1 "github.com/caretaker-dev/caretaker/api/platform/v1"
	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
)

// logLines is how much of each container's log a dump shows.
const logLines = 60

// Dump writes what a reader of a failed test wants to know of a namespace to the test's log.
func (k *Kube) Dump(ctx context.Context, t *testing.T, namespace string) {
	t.Helper()
	t.Log(k.Describe(ctx, namespace))
}

// Describe is what a reader of a failed test wants to know of a namespace.
func (k *Kube) Describe(ctx context.Context, namespace string) string {
	var out strings.Builder

	fmt.Fprintln(&out, "namespace "+namespace)

	in := client.InNamespace(namespace)

	var clusters postgresqlv1.ClusterList
	if err := k.Client.List(ctx, &clusters, in); err != nil {
		fmt.Fprintf(&out, "list clusters: %v\n", err)
	}

	for i := range clusters.Items {
		cluster := &clusters.Items[i]
		cluster.ManagedFields = nil
		dumpYAML(&out, "Cluster "+cluster.Name, cluster)
	}

	var terms postgresqlv1.ClusterTermList
	if err := k.Client.List(ctx, &terms, in); err != nil {
		fmt.Fprintf(&out, "list term records: %v\n", err)
	}

	for i := range terms.Items {
		dumpYAML(&out, "ClusterTerm "+terms.Items[i].Name, terms.Items[i].Spec)
	}

	k.dumpApplications(ctx, &out, namespace)
	k.dumpEvents(ctx, &out, namespace)
	k.dumpPods(ctx, &out, namespace)

	return out.String()
}

// dumpApplications shows what the kinds above and beside a Cluster say of themselves.
func (k *Kube) dumpApplications(ctx context.Context, out *strings.Builder, namespace string) {
	for _, list := range []client.ObjectList{
		&platformv1.EcommercePlatformList{}, &platformv1.AppStackList{}, &appsv1.WebAppList{}, &configv1.AppConfigList{},
		&databasev1.PostgreSQLList{}, &databasev1.MySQLList{}, &postgresqlv1.DatabaseList{}, &postgresqlv1.BackupList{},
		&postgresqlv1.ScheduledBackupList{}, &backupv1.BackupList{},
	} {
		if err := k.Client.List(ctx, list, client.InNamespace(namespace)); err != nil {
			fmt.Fprintf(out, "list %T: %v\n", list, err)
		}

		_ = meta.EachListItem(list, func(object runtime.Object) error {
			if o, ok := object.(client.Object); ok {
				o.SetManagedFields(nil)
				dumpYAML(out, fmt.Sprintf("%T %s", o, o.GetName()), o)
			}

			return nil
		})
	}
}

func dumpYAML(out *strings.Builder, title string, value any) {
	content, err := yaml.Marshal(value)
	if err != nil {
		content = []byte(err.Error())
	}

	fmt.Fprintf(out, "--- %s\n%s", title, content)
}

func (k *Kube) dumpEvents(ctx context.Context, out *strings.Builder, namespace string) {
	var events corev1.EventList
	if err := k.Client.List(ctx, &events, client.InNamespace(namespace)); err != nil {
		fmt.Fprintf(out, "list events: %v\n", err)
	}

	slices.SortFunc(events.Items, func(a, b corev1.Event) int {
		return a.CreationTimestamp.Compare(b.CreationTimestamp.Time)
	})

	fmt.Fprintln(out, "--- events")

	for _, event := range events.Items {
		fmt.Fprintf(out, "%s %s %s/%s %s: %s (%d)\n", event.CreationTimestamp.UTC().Format("15:04:05"), event.Type,
			event.InvolvedObject.Kind, event.InvolvedObject.Name, event.Reason, event.Message, max(event.Count, 1))
	}
}

func (k *Kube) dumpPods(ctx context.Context, out *strings.Builder, namespace string) {
	var pods corev1.PodList
	if err := k.Client.List(ctx, &pods, client.InNamespace(namespace)); err != nil {
		fmt.Fprintf(out, "list pods: %v\n", err)
	}

	slices.SortFunc(pods.Items, func(a, b corev1.Pod) int { return cmp.Compare(a.Name, b.Name) })

	for _, pod := range pods.Items {
		fmt.Fprintf(out, "--- pod %s on %s: %s %s\n", pod.Name, pod.Spec.NodeName, pod.Status.Phase, pod.Status.Message)

		for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
			fmt.Fprintf(out, "container %s: ready %t, restarts %d, %s\n", status.Name, status.Ready, status.RestartCount, state(status.State))

			if status.RestartCount > 0 {
				fmt.Fprintf(out, "before: %s\n%s", state(status.LastTerminationState), k.log(ctx, pod, status.Name, true, logLines))
			}

			out.WriteString(k.log(ctx, pod, status.Name, false, logLines))
		}
	}
}

func state(s corev1.ContainerState) string {
	switch {
	case s.Waiting != nil:
		return "waiting: " + s.Waiting.Reason + " " + s.Waiting.Message
	case s.Terminated != nil:
		return fmt.Sprintf("terminated: %s, exit code %d", s.Terminated.Reason, s.Terminated.ExitCode)
	case s.Running != nil:
		return "running since " + s.Running.StartedAt.UTC().Format(metav1.RFC3339Micro)
	default:
		return "unknown"
	}
}

// Log is the end of a container's log, of the one that ran before this one as well.
func (k *Kube) Log(ctx context.Context, pod corev1.Pod, container string, lines int64) string {
	return k.log(ctx, pod, container, true, lines) + k.log(ctx, pod, container, false, lines)
}

func (k *Kube) log(ctx context.Context, pod corev1.Pod, container string, previous bool, lines int64) string {
	content, err := k.Clientset.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{
		Container: container, Previous: previous, TailLines: &lines,
	}).DoRaw(ctx)
	if err != nil {
		return fmt.Sprintf("no log: %v\n", err)
	}

	return string(content)
}
