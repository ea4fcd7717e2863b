package fault

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	corev1 "k8s.io/api/core/v1"

	"github.com/caretaker-dev/caretaker/test/chaos/target"
)

// postmasterOf finds the postmaster among a container's processes: it is no child of another postgres.
func postmasterOf(processes []target.Process) (target.Process, error) {
	named := map[int]bool{}
	for _, p := range processes {
		named[p.PID] = p.Name == "postgres"
	}

	for _, p := range processes {
		if p.Name == "postgres" && !named[p.Parent] {
			return p, nil
		}
	}

	return target.Process{}, errors.New("PostgreSQL does not run")
}

func initOf(processes []target.Process) (target.Process, error) {
	for _, p := range processes {
		if p.Inside == 1 {
			return p, nil
		}
	}

	return target.Process{}, errors.New("the container has no PID 1")
}

func containerID(pod *corev1.Pod, container string) string {
	for _, status := range pod.Status.ContainerStatuses {
		if status.Name == container {
			return status.ContainerID
		}
	}

	return ""
}

func (v Victim) processes() ([]target.Process, error) {
	return v.Nodes.Processes(containerID(v.Pod, v.Container))
}

func (v Victim) find(which func([]target.Process) (target.Process, error)) (target.Process, error) {
	processes, err := v.processes()
	if err != nil {
		return target.Process{}, err
	}

	return which(processes)
}

func gone(p target.Process) func(context.Context) error {
	return func(context.Context) error {
		if state, alive := p.Alive(); alive {
			return fmt.Errorf("%w: process %d (%s) still runs (%s)", errStill, p.PID, p.Name, state)
		}

		return nil
	}
}

// killPostmaster does it from within the container where the node is not this machine.
func killPostmaster(ctx context.Context, v Victim) (Fault, error) {
	if v.Nodes == nil {
		return v.inside(ctx, "kill -9 $(head -1 ${PGDATA:-/var/lib/postgresql/data/pgdata}/postmaster.pid)")
	}

	return v.kill(postmasterOf)
}

// killInit aborts PID 1 where the node is not this machine: the kernel lets no SIGKILL through to it from within.
func killInit(ctx context.Context, v Victim) (Fault, error) {
	if v.Nodes == nil {
		return v.inside(ctx, "kill -SEGV 1")
	}

	return v.kill(initOf)
}

func (v Victim) kill(which func([]target.Process) (target.Process, error)) (Fault, error) {
	process, err := v.find(which)
	if err != nil {
		return Fault{}, err
	}

	if err := syscall.Kill(process.PID, syscall.SIGKILL); err != nil {
		return Fault{}, fmt.Errorf("kill process %d: %w", process.PID, err)
	}

	return Fault{Happened: gone(process)}, nil
}

// inside runs a command in the container. That the connection breaks with the container is part of it.
func (v Victim) inside(ctx context.Context, command string) (Fault, error) {
	in := v.InContainer(v.Pod.Name)

	before, err := v.Exec(ctx, in, "sh", "-c", postmasterStart)
	if err != nil {
		return Fault{}, err
	}

	_, killing := v.Exec(ctx, in, "sh", "-c", command)

	return Fault{Happened: func(ctx context.Context) error {
		after, err := v.Exec(ctx, in, "sh", "-c", postmasterStart)
		if err == nil && after == before {
			return fmt.Errorf("%w: PostgreSQL is the one from before (%w)", errStill, errors.Join(killing))
		}

		return nil
	}}, nil
}

// postmasterStart says which postmaster it is: its process ID and its start.
const postmasterStart = "head -3 ${PGDATA:-/var/lib/postgresql/data/pgdata}/postmaster.pid"

func stopPostgres(_ context.Context, v Victim) (Fault, error) {
	processes, err := v.processes()
	if err != nil {
		return Fault{}, err
	}

	postmaster, err := postmasterOf(processes)
	if err != nil {
		return Fault{}, err
	}

	// The postmaster first: it starts no more of them then.
	stopped := []target.Process{postmaster}

	for _, p := range processes {
		if p.Name == "postgres" && p.PID != postmaster.PID {
			stopped = append(stopped, p)
		}
	}

	return stop(stopped...)
}

func stopInit(_ context.Context, v Victim) (Fault, error) {
	process, err := v.find(initOf)
	if err != nil {
		return Fault{}, err
	}

	return stop(process)
}

// stop stops processes; the first must be seen stopped, or must have been killed by whoever saw to it.
func stop(processes ...target.Process) (Fault, error) {
	signal := func(with syscall.Signal) error {
		var failed error

		for _, p := range processes {
			if _, alive := p.Alive(); !alive {
				continue
			}

			if err := syscall.Kill(p.PID, with); err != nil && !errors.Is(err, syscall.ESRCH) {
				failed = errors.Join(failed, fmt.Errorf("signal %d to process %d: %w", with, p.PID, err))
			}
		}

		return failed
	}

	if err := signal(syscall.SIGSTOP); err != nil {
		return Fault{}, err
	}

	return Fault{
		Happened: func(context.Context) error {
			if state, alive := processes[0].Alive(); alive && state != "T" {
				return fmt.Errorf("%w: process %d runs (%s)", errStill, processes[0].PID, state)
			}

			return nil
		},
		Heal: func(context.Context) error { return signal(syscall.SIGCONT) },
	}, nil
}

func stopInitAndForceDelete(ctx context.Context, v Victim) (Fault, error) {
	stopped, err := stopInit(ctx, v)
	if err != nil {
		return Fault{}, err
	}

	deleted, err := forceDeletePod(ctx, v)
	if err != nil {
		return Fault{}, errors.Join(err, stopped.Heal(ctx))
	}

	return Fault{Happened: deleted.Happened, Heal: stopped.Heal}, nil
}
