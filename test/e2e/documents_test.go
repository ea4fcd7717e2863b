package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/caretaker-dev/caretaker/test/internal/kube"
)

// documents are the source documents' manifests, see docs/reference/source-documents.md.
const documents = "../../config/samples/from-documents"

// applyDocument applies a manifest of the source documents in the test's namespace, as `kubectl apply` does. The overlay, a
// merge patch in YAML, has what stands in the place of what cannot be had here; the log shows it.
func (f *fixture) applyDocument(t *testing.T, name, overlay string) *unstructured.Unstructured {
	t.Helper()

	manifest, err := os.ReadFile(filepath.Join(documents, name))
	if err != nil {
		t.Fatal(err)
	}

	t.Logf("%s, with\n%s", name, overlay)

	written, err := yaml.YAMLToJSON(manifest)
	if err != nil {
		t.Fatalf("read %s: %v", name, err)
	}

	if overlay != "" {
		patch, err := yaml.YAMLToJSON([]byte(overlay))
		if err != nil {
			t.Fatalf("read the overlay of %s: %v", name, err)
		}

		if written, err = jsonpatch.MergePatch(written, patch); err != nil {
			t.Fatalf("overlay %s: %v", name, err)
		}
	}

	object := &unstructured.Unstructured{}
	if err := json.Unmarshal(written, &object.Object); err != nil {
		t.Fatalf("read %s: %v", name, err)
	}

	object.SetNamespace(f.namespace)

	err = f.Client.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(object), client.FieldOwner("kubectl"))
	if err != nil {
		t.Fatalf("apply %s: %v", name, err)
	}

	return object
}

// terminal is where a user types the commands of the source documents: kubectl talks to the test's namespace.
type terminal struct{ environment []string }

func (f *fixture) terminal(t *testing.T) terminal {
	t.Helper()

	config, err := clientcmd.LoadFromFile(os.Getenv("KUBECONFIG"))
	if err != nil {
		t.Fatalf("read KUBECONFIG: %v", err)
	}

	if err := clientcmd.ResolveLocalPaths(config); err != nil {
		t.Fatal(err)
	}

	config.Contexts[config.CurrentContext].Namespace = f.namespace

	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, kubeconfig); err != nil {
		t.Fatalf("write a kubeconfig: %v", err)
	}

	bin, err := filepath.Abs("../../bin")
	if err != nil {
		t.Fatal(err)
	}

	return terminal{append(os.Environ(), "KUBECONFIG="+kubeconfig, "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"))}
}

func (c terminal) command(ctx context.Context, line string) *exec.Cmd {
	command := exec.CommandContext(ctx, "sh", "-c", "exec "+line)
	command.Env = c.environment

	return command
}

// run commands, one a line, each of which has to succeed. It gives what they print.
func (c terminal) run(t *testing.T, lines string) string {
	t.Helper()

	var printed strings.Builder

	for line := range strings.Lines(lines) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}

		began := time.Now()
		out, code := c.try(t.Context(), line)
		t.Logf("$ %s  (%.1f s)\n%s", line, time.Since(began).Seconds(), out)

		if code != 0 {
			t.Fatalf("%s: exit code %d", line, code)
		}

		printed.WriteString(out)
	}

	return printed.String()
}

// try runs a command, and gives what it prints and its exit code.
func (c terminal) try(ctx context.Context, line string) (printed string, code int) {
	command := c.command(ctx, line)

	out, err := command.CombinedOutput()
	if err != nil && command.ProcessState == nil {
		return err.Error(), -1
	}

	return string(out), command.ProcessState.ExitCode()
}

// watch runs a command that does not end by itself, such as kubectl get --watch, until it has printed what is awaited.
func (c terminal) watch(t *testing.T, timeout time.Duration, line, awaited string) {
	t.Helper()

	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()

	command := c.command(ctx, line)

	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}

	if err := command.Start(); err != nil {
		t.Fatalf("%s: %v", line, err)
	}

	var printed []string

	for scanner := bufio.NewScanner(out); scanner.Scan(); {
		printed = append(printed, scanner.Text())

		if strings.Contains(scanner.Text(), awaited) {
			cancel()

			break
		}
	}

	// It was ended by us, or has told already why it ended.
	_ = command.Wait()

	t.Logf("$ %s\n%s", line, strings.Join(printed, "\n"))

	if len(printed) == 0 || !strings.Contains(printed[len(printed)-1], awaited) {
		t.Fatalf("%s did not print %q within %s", line, awaited, timeout)
	}
}

// waitStatus asks for the status of db until lines of it match all of the regular expressions. It gives what was printed then.
func (c terminal) waitStatus(t *testing.T, lines ...string) (printed string) {
	t.Helper()

	const command = "kubectl caretaker status db"

	kube.Eventually(t, readyTimeout, command+" says it", func(ctx context.Context) error {
		var code int
		if printed, code = c.try(ctx, command); code != 0 {
			return fmt.Errorf("exit code %d: %s", code, printed)
		}

		return lacks(printed, lines...)
	})
	t.Logf("$ %s\n%s", command, printed)

	return printed
}
