package api

import (
	"os"
	"testing"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/caretaker-dev/caretaker/test/internal/apiserver"
)

var suite apiserver.Suite

func TestMain(m *testing.M) {
	// What a controller logs is not what is tested.
	ctrl.SetLogger(logr.Discard())
	os.Exit(suite.Run(m))
}
