package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/caretaker-dev/caretaker/test/internal/kube"
)

// environment is where the tests run.
type environment struct {
	kube *kube.Kube
	// namespace and deployment of the operator.
	namespace, deployment string
	// storageClass for ordinary volumes, expandableClass for ones that can grow; "" is the cluster's default.
	storageClass, expandableClass string
	// auditLog is the API server's, where it can be read.
	auditLog string
	// long: run what takes long, too.
	long bool
}

var testEnvironment environment

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if os.Getenv("CARETAKER_E2E") != "1" {
		fmt.Println("the end-to-end tests need a cluster with the operator; set CARETAKER_E2E=1 and KUBECONFIG (see test/README.md)")

		return 0
	}

	k, err := kube.Connect()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)

		return 1
	}

	testEnvironment = environment{
		kube:            k,
		namespace:       env("CARETAKER_NAMESPACE", "caretaker-system"),
		deployment:      env("CARETAKER_DEPLOYMENT", "caretaker"),
		storageClass:    env("CARETAKER_STORAGE_CLASS", "standard"),
		expandableClass: env("CARETAKER_EXPANDABLE_STORAGE_CLASS", "loop"),
		auditLog:        env("CARETAKER_AUDIT_LOG", "../../.devcluster/logs/audit.log"),
		long:            os.Getenv("CARETAKER_E2E_LONG") == "1",
	}

	return m.Run()
}

// image of a PostgreSQL major version, or of another build of it.
//
// CARETAKER_POSTGRES_IMAGE_17_B names the image for 17-b. One that is set to nothing does not exist: see needImage.
func image(tag string) string {
	return env("CARETAKER_POSTGRES_IMAGE_"+strings.ToUpper(strings.ReplaceAll(tag, "-", "_")), "caretaker.local/postgresql:"+tag)
}

// needImage skips a test whose image does not exist on this cluster.
func needImage(t *testing.T, tag string) {
	t.Helper()

	if image(tag) == "" {
		t.Skipf("there is no image for %s here", tag)
	}
}

// mainMajor is the version that most tests use.
const mainMajor = "17"

func env(name, otherwise string) string {
	if value, ok := os.LookupEnv(name); ok {
		return value
	}

	return otherwise
}
