package driver

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/kubernetes-csi/csi-test/v5/pkg/sanity"
	"google.golang.org/grpc"
)

// TestSanity holds the driver to Kubernetes' own tests of CSI drivers.
func TestSanity(t *testing.T) {
	if _, err := exec.LookPath("mkfs.xfs"); err != nil || os.Geteuid() != 0 {
		t.Skip("needs root and mkfs.xfs: it mounts volumes")
	}
	state := t.TempDir()
	images, mounts := filepath.Join(state, "nodes", "node-1", imagesFolder), filepath.Join(state, "mounts")
	if err := os.MkdirAll(images, 0o750); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(state, "csi.sock")
	go func() {
		err := serve(t.Context(), func(server *grpc.Server) {
			csi.RegisterIdentityServer(server, identity{})
			csi.RegisterControllerServer(server, newController(state, func(string) string { return mounts }))
			csi.RegisterNodeServer(server, &node{name: "node-1", images: images, mounts: mounts})
		}, socket)
		if err != nil {
			t.Error(err)
		}
	}()
	config := sanity.NewTestConfig()
	config.Address = socket
	config.TargetPath, config.StagingPath = filepath.Join(state, "target"), filepath.Join(state, "staging")
	config.TestVolumeSize = 1 << 30
	sanity.Test(t, config)
}
