package driver

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
)

const (
	// imagesFolder is the folder of a node's disk that has the volumes' files.
	imagesFolder = "csi"
	// imageSuffix ends the names of files that have a file system in them, and unfinished those of files that are being made.
	imageSuffix = ".img"
	unfinished  = ".new"
	// smallest is the size in bytes below which a file system has no room; sizes are multiples of unit.
	smallest = 32 << 20
	unit     = 1 << 20
)

var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

// run runs a shell script to its end, whatever becomes of this process: a script that was killed would leave a volume
// frozen for ever. So the script is no child of a request, and does not have the mark by which the cluster's processes
// are found and killed.
func run(script string, args ...string) error {
	//nolint:noctx // See above.
	cmd := exec.Command("sh", append([]string{"-euc", script, "sh"}, args...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH") + ":/usr/sbin:/sbin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w: %s", args, err, output)
	}
	return nil
}

// makeImage makes a file with an empty XFS in it, whose root anybody may write to.
func makeImage(image string, size int64) error {
	return run(`rm -f "$1$3"
truncate --size="$2" "$1$3"
# "Unsupported" is what mkfs calls anything below 300 MB.
printf '/\n0 0\nd--777 0 0\n$\n' >"$1.proto"
mkfs.xfs --unsupported -q -K -d agcount=1 -l size=16m -p "$1.proto" "$1$3"
rm "$1.proto"
mv "$1$3" "$1"`, image, strconv.FormatInt(size, 10), unfinished)
}

// copyImage copies a file, and makes the copy at least as large as the size. What is mounted is frozen meanwhile: the copy
// is of one moment, as that of a storage system is. The open folder keeps the file system reachable until it is thawed,
// even if the node loses its power.
func copyImage(image, target string, size int64, mounted string) error {
	return run(`if [ -n "$5" ]; then
  exec 9<"$5"
  fsfreeze --freeze /proc/self/fd/9
  trap 'fsfreeze --unfreeze /proc/self/fd/9' EXIT
fi
rm -f "$2$3"
cp --reflink=auto "$1" "$2$3"
truncate --no-create --size=">$4" "$2$3"
mv "$2$3" "$2"`, image, target, unfinished, strconv.FormatInt(size, 10), mounted)
}

// mountImage mounts a file's file system at a folder, and makes it as large as its file. The file may be a copy of another
// that is mounted, too: hence nouuid. Where /dev is not kept by the kernel, device files are made as they are needed.
func mountImage(image, folder string) error {
	if mounted(folder) {
		return nil
	}
	return run(`mkdir -p "$2"
first=$(losetup --find)
first=${first#/dev/loop}
for i in "$first" $((first + 1)) $((first + 2)) $((first + 3)); do
  [ -e "/dev/loop$i" ] || mknod -m 660 "/dev/loop$i" b 7 "$i" || [ -e "/dev/loop$i" ]
done
mount -o loop,nouuid "$1" "$2"
xfs_growfs "$2"`, image, folder)
}

// unmount unmounts what is mounted at a folder, and removes the folder.
func unmount(folder string) error {
	if mounted(folder) {
		if err := syscall.Unmount(folder, 0); err != nil {
			return fmt.Errorf("unmounting %s: %w", folder, err)
		}
	}
	return ignoreMissing(os.Remove(folder))
}

// mounted says whether something is mounted at a folder, which may be another node's.
func mounted(folder string) bool {
	var here, above syscall.Stat_t
	return syscall.Stat(folder, &here) == nil && syscall.Stat(filepath.Dir(folder), &above) == nil && here.Dev != above.Dev
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
