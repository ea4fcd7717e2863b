//go:build !linux

// Command devcluster runs a real Kubernetes on one Linux machine.
package main

import (
	"fmt"
	"os"
	"runtime"
)

func main() {
	_, _ = fmt.Fprintf(os.Stderr, "devcluster: this machine cannot run a cluster:\n  - this is %s, not Linux\n"+
		"Use a cluster that you have instead: KUBECONFIG=... make quickstart\n", runtime.GOOS)
	os.Exit(1)
}
