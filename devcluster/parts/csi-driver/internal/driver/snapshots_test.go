package driver

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/container-storage-interface/spec/lib/go/csi"
)

// bench is a driver whose only node is this machine.
type bench struct {
	*testing.T

	controller *controller
	node       *node
}

func newBench(t *testing.T) bench {
	t.Helper()
	if _, err := exec.LookPath("mkfs.xfs"); err != nil || os.Geteuid() != 0 {
		t.Skip("needs root and mkfs.xfs: it mounts volumes")
	}
	state := t.TempDir()
	images, mounts := filepath.Join(state, "nodes", "node-1", imagesFolder), filepath.Join(state, "mounts")
	if err := os.MkdirAll(images, 0o750); err != nil {
		t.Fatal(err)
	}
	return bench{
		t, newController(state, func(string) string { return mounts }),
		&node{name: "node-1", images: images, mounts: mounts},
	}
}

// volume makes and mounts a volume, and returns where it is mounted.
func (b bench) volume(name string, source *csi.VolumeContentSource) (folder string) {
	b.Helper()
	capability := &csi.VolumeCapability{
		AccessType: &csi.VolumeCapability_Mount{Mount: &csi.VolumeCapability_MountVolume{}},
		AccessMode: &csi.VolumeCapability_AccessMode{Mode: csi.VolumeCapability_AccessMode_SINGLE_NODE_WRITER},
	}
	_, err := b.controller.CreateVolume(b.Context(), &csi.CreateVolumeRequest{
		Name: name, VolumeCapabilities: []*csi.VolumeCapability{capability}, VolumeContentSource: source,
		CapacityRange: &csi.CapacityRange{RequiredBytes: 256 << 20},
	})
	if err != nil {
		b.Fatal(err)
	}
	folder = filepath.Join(b.node.mounts, name)
	b.Cleanup(func() {
		if err := unmount(folder); err != nil {
			b.Error(err)
		}
	})
	_, err = b.node.NodeStageVolume(b.Context(), &csi.NodeStageVolumeRequest{
		VolumeId: name, StagingTargetPath: "anywhere", VolumeCapability: capability,
	})
	if err != nil {
		b.Fatal(err)
	}
	return folder
}

// count writes numbers to a file, and each to another one once it is on disk in the first, until it is stopped.
func (b bench) count(first, second *os.File, stop <-chan struct{}) {
	content := make([]byte, 8)
	for number := uint64(1); ; number++ {
		select {
		case <-stop:
			return
		default:
		}
		binary.BigEndian.PutUint64(content, number)
		for _, file := range []*os.File{first, second} {
			if _, err := file.WriteAt(content, 0); err != nil {
				b.Error(err)
				return
			}
			if err := file.Sync(); err != nil {
				b.Error(err)
				return
			}
		}
	}
}

func (b bench) create(path string, content []byte) *os.File {
	b.Helper()
	file, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = file.Close() })
	if _, err := file.Write(content); err != nil {
		b.Fatal(err)
	}
	if err := file.Sync(); err != nil {
		b.Fatal(err)
	}
	return file
}

// TestSnapshotIsOfOneMoment takes a snapshot while two files are written in turn: their copies must not be apart.
func TestSnapshotIsOfOneMoment(t *testing.T) {
	b := newBench(t)
	folder := b.volume("source", nil)
	// What lies between the two takes a while to copy.
	first := b.create(filepath.Join(folder, "first"), make([]byte, 4096))
	ballast := make([]byte, 128<<20)
	for i := range ballast {
		ballast[i] = 1
	}
	b.create(filepath.Join(folder, "ballast"), ballast)
	second := b.create(filepath.Join(folder, "second"), make([]byte, 4096))
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		b.count(first, second, stop)
	}()
	_, err := b.controller.CreateSnapshot(t.Context(), &csi.CreateSnapshotRequest{Name: "moment", SourceVolumeId: "source"})
	close(stop)
	<-stopped
	_, _ = first.Close(), second.Close()
	if err != nil {
		t.Fatal(err)
	}
	restored := b.volume("restored", &csi.VolumeContentSource{Type: &csi.VolumeContentSource_Snapshot{
		Snapshot: &csi.VolumeContentSource_SnapshotSource{SnapshotId: "moment"},
	}})
	var numbers []uint64
	for _, name := range []string{"first", "second"} {
		content, err := os.ReadFile(filepath.Join(restored, name))
		if err != nil || len(content) < 8 {
			t.Fatalf("%s has %d bytes: %v", name, len(content), err)
		}
		numbers = append(numbers, binary.BigEndian.Uint64(content))
	}
	if numbers[0] != numbers[1] && numbers[0] != numbers[1]+1 {
		t.Errorf("the snapshot has number %d, and then number %d: it is of more than one moment", numbers[0], numbers[1])
	}
}
