package main

import (
	"os/exec"
	"strings"
	"testing"
)

// The stores' clients cost tens of megabytes in every pod as soon as they are linked, used or not: see ADR 0113.
func TestLinksNoClientOfAStore(t *testing.T) {
	const module = "github.com/caretaker-dev/caretaker/"

	clients := []string{
		"github.com/aws/", "github.com/Azure/", "github.com/AzureAD/", "cloud.google.com/", "github.com/googleapis/",
		"google.golang.org/api/", "google.golang.org/grpc", "google.golang.org/genproto/", "go.opentelemetry.io/",
		module + "internal/objectstore", module + "internal/archive/",
	}

	// finds says which of them a program links.
	finds := func(program string) []string {
		out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", module+"cmd/"+program).Output()
		if err != nil {
			t.Fatal(err)
		}

		var found []string

		for pkg := range strings.FieldsSeq(string(out)) {
			for _, client := range clients {
				if strings.HasPrefix(pkg, client) {
					found = append(found, pkg)
				}
			}
		}

		return found
	}

	for _, program := range []string{"caretaker-instance", "caretaker-wal", "kubectl-caretaker"} {
		if found := finds(program); len(found) > 0 {
			t.Errorf("%s links %s; what PID 1 needs of an archive's types is in internal/archiveapi and internal/storeconfig",
				program, strings.Join(found, ", "))
		}
	}

	// The names above are still those of the clients.
	if len(finds("caretaker-archive")) == 0 {
		t.Error("caretaker-archive links none of them, so that this test looks for nothing")
	}
}
