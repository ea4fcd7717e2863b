//go:build linux

// Command csi-driver is the development cluster's CSI driver: as "controller" beside the control plane, as "node" on
// every node.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/caretaker-dev/caretaker/devcluster/parts/csi-driver/internal/driver"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "csi-driver:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	switch {
	case len(args) == 3 && args[0] == "controller":
		return driver.RunController(ctx, args[1], args[2])
	case len(args) == 2 && args[0] == "node":
		return driver.RunNode(ctx, args[1])
	}
	return errors.New("usage: csi-driver controller STATE-FOLDER SOCKET, or csi-driver node NAME")
}
