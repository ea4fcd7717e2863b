package driver

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

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

// A file that is copied takes a while from its first place to its last.
const (
	places   = 9
	distance = 16 << 20
)

// numbered makes a file with a zero in each place, and gives it back open.
func (b bench) numbered(path string) *os.File {
	b.Helper()
	file, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = file.Close() })
	// No hole is copied quickly.
	ballast := bytes.Repeat([]byte{1}, distance)
	binary.BigEndian.PutUint64(ballast, 0)
	for range places {
		if _, err := file.Write(ballast); err != nil {
			b.Fatal(err)
		}
	}
	if err := file.Sync(); err != nil {
		b.Fatal(err)
	}
	return file
}

// count writes a number to each place in turn, once it is on disk in the one before, and then the next number, until it is
// stopped. It tells of each number that is everywhere.
func (b bench) count(file *os.File, stop <-chan struct{}, written *atomic.Uint64) {
	content := make([]byte, 8)
	for number := uint64(1); ; number++ {
		binary.BigEndian.PutUint64(content, number)
		for place := range int64(places) {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := file.WriteAt(content, place*distance); err != nil {
				b.Error(err)
				return
			}
			if err := file.Sync(); err != nil {
				b.Error(err)
				return
			}
		}
		written.Store(number)
	}
}

// numbers are those in the places of a file.
func (b bench) numbers(path string) []uint64 {
	b.Helper()
	file, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	numbers, content := make([]uint64, places), make([]byte, 8)
	for place := range numbers {
		if _, err := file.ReadAt(content, int64(place)*distance); err != nil {
			b.Fatal(err)
		}
		numbers[place] = binary.BigEndian.Uint64(content)
	}
	return numbers
}

func (b bench) waitCounted(written *atomic.Uint64, least uint64) {
	b.Helper()
	for deadline := time.Now().Add(time.Minute); written.Load() < least; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatalf("number %d is not written; the last one is %d: is the file system frozen?", least, written.Load())
		}
	}
}

// TestSnapshotIsOfOneMoment takes a snapshot while one number after the other is written to all places of a file: the copy
// has one number up to some place, and from there on the one before. A copy that is made while they are written has later
// ones where it comes to later.
func TestSnapshotIsOfOneMoment(t *testing.T) {
	b := newBench(t)
	folder := b.volume("source", nil)
	file := b.numbered(filepath.Join(folder, "numbers"))
	written, stop, stopped := &atomic.Uint64{}, make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		b.count(file, stop, written)
	}()
	// Not before Fatal, which leaves a file system that is in use.
	defer func() { <-stopped }()
	defer close(stop)
	b.waitCounted(written, 1)
	_, err := b.controller.CreateSnapshot(t.Context(), &csi.CreateSnapshotRequest{Name: "moment", SourceVolumeId: "source"})
	if err != nil {
		t.Fatal(err)
	}
	b.waitCounted(written, written.Load()+2) // It goes on.
	restored := b.volume("restored", &csi.VolumeContentSource{Type: &csi.VolumeContentSource_Snapshot{
		Snapshot: &csi.VolumeContentSource_SnapshotSource{SnapshotId: "moment"},
	}})
	numbers := b.numbers(filepath.Join(restored, "numbers"))
	for place, number := range numbers {
		if number > numbers[max(place-1, 0)] || number+1 < numbers[0] || number == 0 {
			t.Fatalf("the snapshot has the numbers %d: it is of more than one moment", numbers)
		}
	}
	t.Logf("the snapshot has the numbers %d", numbers)
}
