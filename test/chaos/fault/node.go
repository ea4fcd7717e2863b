package fault

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// probeTimeout is how long something must not answer to be taken for cut off.
const probeTimeout = 500 * time.Millisecond

func nodeOff(ctx context.Context, v Victim) (Fault, error) {
	node := v.Pod.Spec.NodeName

	return Fault{
		Happened: func(context.Context) error {
			if pid := v.Nodes.PID(node); pid != 0 {
				return fmt.Errorf("%w: %s is on (process %d)", errStill, node, pid)
			}

			return nil
		},
		Heal: func(ctx context.Context) error { return v.Nodes.Run(ctx, "node", "start", node) },
	}, v.Nodes.Run(ctx, "node", "stop", node)
}

func nodePause(ctx context.Context, v Victim) (Fault, error) {
	node := v.Pod.Spec.NodeName

	process, err := v.find(initOf)
	if err != nil {
		return Fault{}, err
	}

	used := process.Ticks()

	return Fault{
		Happened: func(context.Context) error {
			if now := process.Ticks(); now > used+maxTicks {
				return fmt.Errorf("%w: PID 1 of %s used %d ticks of CPU since", errStill, v.Pod.Name, now-used)
			}

			return nil
		},
		Heal: func(ctx context.Context) error { return v.Nodes.Run(ctx, "node", "resume", node) },
	}, v.Nodes.Run(ctx, "node", "pause", node)
}

// maxTicks is what a process may still use between being looked at and being frozen.
const maxTicks = 10

// cut makes a fault of what devcluster's net cut takes for --from.
func cut(from string) func(context.Context, Victim) (Fault, error) {
	return func(ctx context.Context, v Victim) (Fault, error) {
		node := v.Pod.Spec.NodeName
		other := v.Nodes.Other(node)

		var arguments []string
		if from != "" {
			arguments = []string{"--from", from}
		}

		// Every cut but that from the API server keeps other nodes from reaching the pod, in one direction or both.
		happened := func(ctx context.Context) error {
			return v.unreachable(ctx, other, net.JoinHostPort(v.Pod.Status.PodIP, "5432"))
		}
		if from == "api" {
			happened = func(ctx context.Context) error { return v.unreachable(ctx, node, v.apiServer()) }
		}

		return Fault{
			Happened: happened,
			Heal: func(ctx context.Context) error {
				return v.Nodes.Run(ctx, append([]string{"net", "heal", node}, arguments...)...)
			},
		}, v.Nodes.Run(ctx, append([]string{"net", "cut", node}, arguments...)...)
	}
}

// unreachable is an error if an address can be connected to from a node. That it is refused means that it was reached.
func (v Victim) unreachable(ctx context.Context, node, address string) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()

	conn, err := v.Nodes.Dial(node)(ctx, "tcp", address)
	if err == nil {
		_ = conn.Close()

		return fmt.Errorf("%w: %s reaches %s", errStill, node, address)
	}

	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return nil
	}

	return fmt.Errorf("whether %s reaches %s: %w", node, address, err)
}

func (v Victim) apiServer() string {
	host := v.Config.Host
	for _, scheme := range []string{"https://", "http://"} {
		if len(host) > len(scheme) && host[:len(scheme)] == scheme {
			host = host[len(scheme):]
		}
	}

	return host
}

func apiDown(ctx context.Context, v Victim) (Fault, error) {
	return Fault{
		Happened: func(ctx context.Context) error {
			conn, err := (&net.Dialer{Timeout: probeTimeout}).DialContext(ctx, "tcp", v.apiServer())
			if err == nil {
				_ = conn.Close()

				return fmt.Errorf("%w: the API server takes connections", errStill)
			}

			return nil
		},
		Heal: func(ctx context.Context) error { return v.Nodes.Run(ctx, "api", "start") },
	}, v.Nodes.Run(ctx, "api", "stop")
}
