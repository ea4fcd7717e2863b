package target

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
)

// Foreign is a cluster of another operator, or of none: what it knows of itself is asked by commands, or guessed from pods.
type Foreign struct {
	Target *Target
	// Instances that there must be.
	Instances int
	// Commands for a shell: what they do not say is that the environment has NAMESPACE, PRIMARY and REPLICA, the names of pods.
	// WholeCommand succeeds when nothing is missing; by default all pods are ready. TermCommand prints what changes with the primary;
	// by default which container it is. SwitchoverCommand asks for another primary. ScaleCommand has BY, such as 1 or -1. BackupCommand
	// succeeds when the backup is complete, and has FROM: primary or replica.
	WholeCommand, TermCommand, SwitchoverCommand, ScaleCommand, RestartCommand, BackupCommand string
}

// Whole asks the command, and looks at the pods.
func (f *Foreign) Whole(ctx context.Context) error {
	pods, err := f.Target.Pods(ctx)
	if err != nil {
		return err
	}

	ready := 0

	for i := range pods {
		if isReady(&pods[i]) {
			ready++
		}
	}

	if ready != f.Instances {
		return fmt.Errorf("%d of %d pods are ready", ready, f.Instances)
	}

	if _, err := f.Target.Primary(ctx); err != nil || f.WholeCommand == "" {
		return err
	}

	_, err = f.shell(ctx, f.WholeCommand)

	return err
}

// Term is the command's word, or the primary's pod and container.
func (f *Foreign) Term(ctx context.Context) (string, error) {
	if f.TermCommand != "" {
		return f.shell(ctx, f.TermCommand)
	}

	primary, err := f.Target.Primary(ctx)
	if err != nil {
		return "", err
	}

	for _, status := range primary.Status.ContainerStatuses {
		if status.Name == f.Target.Container {
			return fmt.Sprintf("%s/%d", primary.Name, status.RestartCount), nil
		}
	}

	return primary.Name, nil
}

// Switchover by command.
func (f *Foreign) Switchover(ctx context.Context, to string) error {
	return f.ask(ctx, "switchover", f.SwitchoverCommand, "TO="+to)
}

// Scale by command.
func (f *Foreign) Scale(ctx context.Context, by int) error {
	return f.ask(ctx, "scale", f.ScaleCommand, "BY="+strconv.Itoa(by))
}

// Restart by command.
func (f *Foreign) Restart(ctx context.Context) error {
	return f.ask(ctx, "restart", f.RestartCommand)
}

// Backup by command.
func (f *Foreign) Backup(ctx context.Context, from Role) (func(context.Context) error, error) {
	if f.BackupCommand == "" {
		return nil, errors.New("how to back this cluster up: name a command with -backup-command")
	}

	done := make(chan error, 1)

	go func() {
		_, err := f.shell(ctx, f.BackupCommand, "FROM="+string(from))
		done <- err
	}()

	return func(ctx context.Context) error {
		select {
		case err := <-done:
			return err
		case <-ctx.Done():
			return fmt.Errorf("the backup has not ended: %w", ctx.Err())
		}
	}, nil
}

func (f *Foreign) ask(ctx context.Context, what, command string, environment ...string) error {
	if command == "" {
		return fmt.Errorf("how to %s this cluster: name a command with -%[1]s-command", what)
	}

	_, err := f.shell(ctx, command, environment...)

	return err
}

func (f *Foreign) shell(ctx context.Context, command string, environment ...string) (string, error) {
	environment = append(environment, "NAMESPACE="+f.Target.Namespace)

	if primary, err := f.Target.Primary(ctx); err == nil {
		environment = append(environment, "PRIMARY="+primary.Name)

		if replicas, err := f.Target.Replicas(ctx); err == nil && len(replicas) > 0 {
			environment = append(environment, "REPLICA="+replicas[0].Name)
		}
	}

	return Shell(ctx, command, environment...)
}

// Shell runs a command that the user gave.
func Shell(ctx context.Context, command string, environment ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "sh", "-c", command)
	cmd.Env = append(os.Environ(), environment...)

	output, err := cmd.Output()

	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return "", fmt.Errorf("%s: %w: %s", command, err, bytes.TrimSpace(exit.Stderr))
	}

	if err != nil {
		return "", fmt.Errorf("%s: %w", command, err)
	}

	return string(bytes.TrimSpace(output)), nil
}
