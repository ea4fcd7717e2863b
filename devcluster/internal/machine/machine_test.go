package machine

import (
	"os"
	"strings"
	"testing"
)

func TestCheckNamesWhatIsMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	err := CannotRun(Check())
	want := []string{"Go toolchain", "KUBECONFIG=... make quickstart"}
	if os.Geteuid() == 0 {
		want = append(want, "no apt-get", "nftables")
	} else {
		want = append(want, "not root")
	}
	for _, want := range want {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in: %v", want, err)
		}
	}
}

func TestAPIServerNeedsLess(t *testing.T) {
	if reasons := CheckAPIServer(); len(reasons) > 0 {
		t.Errorf("an API server cannot run where Go tests can: %q", reasons)
	}
}
