package driver

import (
	"path/filepath"
	"testing"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/kubernetes-csi/csi-test/v5/pkg/sanity"
	"google.golang.org/grpc"
)

// TestSanity holds the driver to Kubernetes' own tests of CSI drivers.
func TestSanity(t *testing.T) {
	b := newBench(t)
	state := t.TempDir()
	socket := filepath.Join(state, "csi.sock")
	go func() {
		err := serve(t.Context(), func(server *grpc.Server) {
			csi.RegisterIdentityServer(server, identity{})
			csi.RegisterControllerServer(server, b.controller)
			csi.RegisterNodeServer(server, b.node)
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
	for _, pattern := range []string{b.node.images + "/*", b.node.mounts + "/*", b.controller.snapshots + "/*"} {
		if left, err := filepath.Glob(pattern); err != nil || len(left) > 0 {
			t.Errorf("what was deleted leaves %v %v", left, err)
		}
	}
}
