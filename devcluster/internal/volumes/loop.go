package volumes

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/caretaker-dev/caretaker/devcluster/internal/layout"
)

// Runner runs a program on a node.
type Runner func(args ...string) error

// imageSuffix ends the names of files that have a file system in them. It is XFS: to
// grow ext4 while it is in use takes CAP_SYS_RESOURCE, which not every root has.
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

// create makes a volume. It may be called again for one that is there, or half made.
func create(run Runner, name, kind string, size int64) error {
	folder := filepath.Join(layout.NodeVolumes, name)
	if kind != kindLoop {
		return run("mkdir", "--parents", "--mode=0777", folder)
	}
	image := filepath.Join(layout.NodeImages, name+imageSuffix)
	err := run("sh", "-euc", `[ -e "$1" ] && exit
rm -f "$1.new"
truncate --size="$2" "$1.new"
# "Unsupported" is what mkfs calls anything below 300 MB.
mkfs.xfs --unsupported -q -K -d agcount=1 -l size=16m "$1.new"
mv "$1.new" "$1"`,
		"sh", image, strconv.FormatInt(max(size, smallest), 10))
	if err != nil {
		return err
	}
	if err := mountLoop(run, name); err != nil {
		return err
	}
	return run("chmod", "0777", folder)
}

// grow makes a volume's file, and the file system in it, larger.
func grow(run Runner, name string, size int64) error {
	image := filepath.Join(layout.NodeImages, name+imageSuffix)
	if err := run("truncate", "--no-create", "--size=>"+strconv.FormatInt(size, 10), image); err != nil {
		return err
	}
	return mountLoop(run, name)
}

// remove removes a volume of either kind.
func remove(run Runner, name string) error {
	return run("sh", "-euc", `if mountpoint -q "$2"; then umount "$2"; fi; rm -rf "$1" "$1.new" "$2"`,
		"sh", filepath.Join(layout.NodeImages, name+imageSuffix), filepath.Join(layout.NodeVolumes, name))
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
xfs_growfs "$2"`, "sh", filepath.Join(layout.NodeImages, name+imageSuffix), filepath.Join(layout.NodeVolumes, name))
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
