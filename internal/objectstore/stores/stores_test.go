package stores

import (
	"os"
	"strings"
	"testing"
)

func TestTheScriptInstallsTheseVersions(t *testing.T) {
	script, err := os.ReadFile("../../../hack/stores.sh")
	if err != nil {
		t.Fatal(err)
	}

	for _, line := range []string{"VERSITYGW=" + versityVersion, "FAKE_GCS_SERVER=" + fakeGCSVersion, "AZURITE=" + azuriteVersion} {
		if !strings.Contains(string(script), line+"\n") {
			t.Errorf("hack/stores.sh does not say %s", line)
		}
	}
}
