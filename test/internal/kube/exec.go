package kube

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/remotecommand"
)

// Container is a place to run commands in.
type Container struct {
	Namespace, Pod, Container string
}

// Exec runs a command in a container; the result is its standard output without the last newline.
func (k *Kube) Exec(ctx context.Context, in Container, command ...string) (string, error) {
	return k.ExecInput(ctx, in, nil, command...)
}

// ExecInput runs a command in a container with a standard input.
func (k *Kube) ExecInput(ctx context.Context, in Container, stdin io.Reader, command ...string) (string, error) {
	request := k.Clientset.CoreV1().RESTClient().Post().
		Resource("pods").Namespace(in.Namespace).Name(in.Pod).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{
			Container: in.Container,
			Command:   command,
			Stdin:     stdin != nil,
			Stdout:    true,
			Stderr:    true,
		}, scheme.ParameterCodec)

	executor, err := remotecommand.NewWebSocketExecutor(k.Config, http.MethodGet, request.URL().String())
	if err != nil {
		return "", fmt.Errorf("exec in %s: %w", in.Pod, err)
	}

	var stdout, stderr bytes.Buffer

	err = executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: stdin, Stdout: &stdout, Stderr: &stderr})
	if err != nil {
		return stdout.String(), fmt.Errorf("%s: %s: %w: %s", in.Pod, command[0], err, strings.TrimSpace(stderr.String()))
	}

	return strings.TrimSuffix(stdout.String(), "\n"), nil
}
