package machine

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/instanceclient"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/internal/postgres"
)

// restartRequested is how PID 1 reports a restart that the user asked for.
const restartRequested = "restart requested"

// instance is PID 1 of a pod and its PostgreSQL.
type instance struct {
	name    string
	podUID  types.UID
	member  string
	version postgres.Version
	started time.Time
	// fresh: its volume is still empty.
	fresh  bool
	serves bool
	record postgresqlv1.ClusterTermSpec
	// failed says why it cannot make its data.
	failed string
	// configured is what it was asked to run with, running what its PostgreSQL was started with.
	hash                string
	configured, running instanceapi.Config
}

// versionOf makes up a version of the image's major.
func versionOf(image string) postgres.Version {
	major, _ := postgres.ParseMajorFromImage(image)

	return postgres.Version{Major: major, Minor: 5}
}

// configure a new instance as the mounted ConfigMap says.
func (m *Machine) configure(ctx context.Context, pod *corev1.Pod, i *instance) error {
	config := &corev1.ConfigMap{}
	key := client.ObjectKey{Namespace: m.namespace, Name: naming.ConfigMap(pod.Labels[naming.LabelCluster])}

	if err := m.client.Get(ctx, key, config); err != nil {
		return fmt.Errorf("get configuration: %w", err)
	}

	if err := i.take([]byte(config.Data[instanceapi.ConfigKey])); err != nil {
		return err
	}

	i.running = i.configured

	return nil
}

func (i *instance) take(encoded []byte) error {
	var config instanceapi.Config
	if err := json.Unmarshal(encoded, &config); err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}

	i.configured, i.hash = config, instanceapi.HashBytes(encoded)

	return nil
}

func (i *instance) pending() []instanceapi.PendingParameter {
	var pending []instanceapi.PendingParameter

	names := maps.Clone(i.configured.Parameters)
	if names == nil {
		names = map[string]string{}
	}

	maps.Copy(names, i.running.Parameters)

	for _, name := range slices.Sorted(maps.Keys(names)) {
		running, configured := i.running.Parameters[name], i.configured.Parameters[name]
		if running != configured && postgres.ChangeKind(i.version.Major, name) == postgres.ChangeRestart {
			pending = append(pending, instanceapi.PendingParameter{Name: name, Running: running, Configured: configured})
		}
	}

	if i.running.RestartNonce != i.configured.RestartNonce {
		pending = append(pending, instanceapi.PendingParameter{
			Name: restartRequested, Running: i.running.RestartNonce, Configured: i.configured.RestartNonce,
		})
	}

	return pending
}

// Status is what an instance reports.
func (m *Machine) Status(_ context.Context, target instanceclient.Target) (instanceapi.Status, error) {
	m.mu.Lock()
	defer m.mu.Unlock()

	i, err := m.reach(target)
	if err != nil {
		return instanceapi.Status{}, err
	}

	status := instanceapi.Status{
		Instance: i.name, PodUID: string(i.podUID), MemberID: i.member, BinaryVersion: "test", Now: m.clock.Now(),
		State: instanceapi.StateWaiting, Message: "waits for a primary to clone from", ConfigHash: i.hash,
		Version: fmt.Sprintf("%d.%d", i.version.Major, i.version.Minor), Major: i.version.Major,
	}
	if i.failed != "" {
		status.State, status.Message = instanceapi.StateFailed, i.failed
	}

	if !i.serves {
		return status, nil
	}

	status.State, status.Message, status.Ready = instanceapi.StateRunning, "", !m.down[i.name]
	status.Term, status.TimelineID, status.SystemID = i.record.Term, i.record.Timeline, i.record.SystemID
	status.StartedAt, status.PendingRestart = &i.started, i.pending()
	status.Role = instanceapi.RoleReplica

	if i.record.Primary.MemberID == i.member {
		status.Role = instanceapi.RolePrimary
	} else {
		status.Streaming = new(i.started)
	}

	return status, nil
}

// PutConfig is taken at once; what needs a restart is reported as pending.
func (m *Machine) PutConfig(_ context.Context, target instanceclient.Target, encoded []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()

	i, err := m.reach(target)
	if err != nil {
		return err
	}

	return i.take(encoded)
}

// Restart is done at once.
func (m *Machine) Restart(_ context.Context, target instanceclient.Target, _ instanceapi.RestartRequest) error {
	m.mu.Lock()
	defer m.mu.Unlock()

	i, err := m.reach(target)
	if err != nil {
		return err
	}

	i.running, i.started = i.configured, m.clock.Now()
	m.restarts = append(m.restarts, i.name)

	return nil
}

// Switchover is done in the next turn.
func (m *Machine) Switchover(_ context.Context, target instanceclient.Target, request instanceapi.SwitchoverRequest) error {
	m.mu.Lock()
	defer m.mu.Unlock()

	if _, err := m.reach(target); err != nil {
		return err
	}

	m.handOver[target.Name] = request.Target

	return nil
}

func (m *Machine) reach(target instanceclient.Target) (*instance, error) {
	i := m.instances[target.Name]
	if i == nil {
		return nil, &instanceclient.UnreachableError{Instance: target.Name, Err: ErrSilent}
	}

	return i, nil
}
