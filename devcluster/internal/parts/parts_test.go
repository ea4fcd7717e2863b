package parts

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caretaker-dev/caretaker/devcluster/internal/progress"
)

// source writes a module with one program that prints what it is told to.
func source(t *testing.T, dir, says string) {
	t.Helper()
	for name, content := range map[string]string{
		"go.mod":  "module example.com/hello\n\ngo 1.26.0\n",
		"main.go": "package main\n\nfunc main() { print(\"" + says + "\") }\n",
	} {
		if err := os.MkdirAll(filepath.Join(dir, "hello"), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "hello", name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBuildOncePerContent(t *testing.T) {
	var out bytes.Buffer
	b := Builder{Sources: t.TempDir(), Cache: t.TempDir(), Progress: progress.New(&out)}
	part := Part{Name: "hello", Version: "v1", About: "hello", Packages: []string{"."}, Links: []string{"hi"}, Target: "hello"}
	build := func() (string, string) {
		t.Helper()
		out.Reset()
		built, err := b.Build(t.Context(), []Part{part})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(built.Program("hello", "hi")); err != nil {
			t.Errorf("the program's other name is missing: %v", err)
		}
		return built["hello"], out.String()
	}
	source(t, b.Sources, "one")
	abandoned := filepath.Join(b.Cache, temporaryPrefix+"1")
	if err := os.Mkdir(abandoned, 0o750); err != nil {
		t.Fatal(err)
	}
	first, output := build()
	if !strings.Contains(output, "building hello v1") {
		t.Errorf("nothing tells of the build:\n%s", output)
	}
	if _, err := os.Stat(abandoned); err == nil {
		t.Error("what a killed run was building is still there")
	}
	if again, output := build(); again != first || output != "" {
		t.Errorf("it is built again: %s\n%s", again, output)
	}
	source(t, b.Sources, "two")
	if changed, _ := build(); changed == first {
		t.Error("it is not built again although its source changed")
	}
}

func TestFailedBuildLeavesNothing(t *testing.T) {
	var out bytes.Buffer
	b := Builder{Sources: t.TempDir(), Cache: t.TempDir(), Progress: progress.New(&out)}
	source(t, b.Sources, "\"broken")
	_, err := b.Build(t.Context(), []Part{{Name: "hello", About: "hello", Packages: []string{"."}}})
	if err == nil || !strings.Contains(err.Error(), "main.go:3") {
		t.Errorf("the error does not show the compiler's message: %v", err)
	}
	left, err := filepath.Glob(filepath.Join(b.Cache, "*-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("a failed build leaves %v in the cache", left)
	}
}
