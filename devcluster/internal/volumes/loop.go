package volumes

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/caretaker-dev/caretaker/devcluster/internal/layout"
)

// Runner runs a program on a node.
type Runner func(args ...string) error

const imageSuffix = ".img"

// loopMajor is the kernel's number for loop devices.
const loopMajor = 7

// MountAll mounts the volumes that a node has, when it starts. It runs on the node.
func MountAll(run Runner) error {
	images, err := filepath.Glob(layout.NodeImages + "/*" + imageSuffix)
	if err != nil {
		return fmt.Errorf("volumes: %w", err)
	}
	for _, image := range images {
		name := filepath.Base(image)
		if err := mountLoop(run, name[:len(name)-len(imageSuffix)]); err != nil {
			return err
		}
	}
	return nil
}

// mountLoop mounts a volume's file system at the volume's folder, unless it is
// mounted, and makes it as large as its file.
func mountLoop(run Runner, name string) error {
	if err := ensureLoopDevices(); err != nil {
		return err
	}
	return run("sh", "-euc", `mountpoint -q "$2" || { mkdir -p "$2"; mount -o loop "$1" "$2"; }
device=$(losetup --noheadings --output NAME --associated "$1" | head -n 1)
losetup --set-capacity "$device"
resize2fs "$device"`, "sh", filepath.Join(layout.NodeImages, name+imageSuffix), filepath.Join(layout.NodeVolumes, name))
}

// ensureLoopDevices makes device files for a few more loop devices than are in use:
// where /dev is not kept by the kernel there are only the first eight.
func ensureLoopDevices() error {
	control, err := os.Open("/dev/loop-control")
	if err != nil {
		return fmt.Errorf("loop devices: %w", err)
	}
	defer func() { _ = control.Close() }()
	free, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
	if err != nil {
		return fmt.Errorf("loop devices: %w", err)
	}
	for i := free; i < free+4; i++ {
		path := fmt.Sprintf("/dev/loop%d", i)
		if _, err := os.Stat(path); err == nil {
			continue
		}
		device := int(unix.Mkdev(loopMajor, uint32(i))) //nolint:gosec // Both are small.
		if err := unix.Mknod(path, unix.S_IFBLK|0o660, device); err != nil {
			return fmt.Errorf("loop devices: %s: %w", path, err)
		}
	}
	return nil
}
