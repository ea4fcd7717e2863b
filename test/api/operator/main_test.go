package operator

import (
	"os"
	"testing"

	"github.com/caretaker-dev/caretaker/test/internal/apiserver"
)

var suite apiserver.Suite

func TestMain(m *testing.M) {
	os.Exit(suite.Run(m))
}
