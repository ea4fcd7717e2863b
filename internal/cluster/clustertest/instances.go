package clustertest

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/instanceclient"
)

// Instances answers for database pods. It is safe for concurrent use.
type Instances struct {
	mu       sync.Mutex
	statuses map[string]instanceapi.Status
	configs  map[string][]byte
	restarts []string
}

// NewInstances gives Instances of which none answers yet.
func NewInstances() *Instances {
	return &Instances{statuses: map[string]instanceapi.Status{}, configs: map[string][]byte{}}
}

// Set makes an instance answer with a status.
func (i *Instances) Set(name string, status instanceapi.Status) {
	i.mu.Lock()
	defer i.mu.Unlock()

	status.Instance = name
	i.statuses[name] = status
}

// Silence makes an instance answer no more.
func (i *Instances) Silence(name string) {
	i.mu.Lock()
	defer i.mu.Unlock()

	delete(i.statuses, name)
}

// Config is the configuration that an instance was given last; nil if none.
func (i *Instances) Config(name string) []byte {
	i.mu.Lock()
	defer i.mu.Unlock()

	return i.configs[name]
}

// Restarts are the instances that were told to restart, in order.
func (i *Instances) Restarts() []string {
	i.mu.Lock()
	defer i.mu.Unlock()

	return slices.Clone(i.restarts)
}

// Status is what Set said.
func (i *Instances) Status(_ context.Context, target instanceclient.Target) (instanceapi.Status, error) {
	i.mu.Lock()
	defer i.mu.Unlock()

	status, ok := i.statuses[target.Name]
	if !ok {
		return instanceapi.Status{}, silent(target)
	}

	return status, nil
}

// PutConfig puts the configuration into force: from now on the instance's status has its hash.
func (i *Instances) PutConfig(_ context.Context, target instanceclient.Target, encoded []byte) error {
	i.mu.Lock()
	defer i.mu.Unlock()

	status, ok := i.statuses[target.Name]
	if !ok {
		return silent(target)
	}

	i.configs[target.Name] = encoded
	status.ConfigHash = instanceapi.HashBytes(encoded)
	i.statuses[target.Name] = status

	return nil
}

// Restart ends what waits for a restart.
func (i *Instances) Restart(_ context.Context, target instanceclient.Target, _ instanceapi.RestartRequest) error {
	i.mu.Lock()
	defer i.mu.Unlock()

	status, ok := i.statuses[target.Name]
	if !ok {
		return silent(target)
	}

	i.restarts = append(i.restarts, target.Name)
	status.PendingRestart = nil
	i.statuses[target.Name] = status

	return nil
}

// Switchover only says whether the instance is there.
func (i *Instances) Switchover(_ context.Context, target instanceclient.Target, _ instanceapi.SwitchoverRequest) error {
	i.mu.Lock()
	defer i.mu.Unlock()

	if _, ok := i.statuses[target.Name]; !ok {
		return silent(target)
	}

	return nil
}

func silent(target instanceclient.Target) error {
	return &instanceclient.UnreachableError{Instance: target.Name, Err: errors.New("no answer")}
}
