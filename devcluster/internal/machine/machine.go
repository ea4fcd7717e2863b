package machine

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"

	"github.com/caretaker-dev/caretaker/devcluster/internal/progress"
)

// need is a program, or what else there must be, and the Debian package that has it.
type need struct {
	packages []string
	present  func() bool
}

func program(name string) func() bool {
	return func() bool {
		_, err := exec.LookPath(name)
		return err == nil
	}
}

func needs() []need {
	return []need{
		{[]string{"iproute2"}, program("ip")},
		{[]string{"nftables"}, program("nft")},
		{[]string{"iptables"}, program("iptables")},
		{[]string{"conntrack"}, program("conntrack")},
		{[]string{"xfsprogs"}, func() bool { return program("mkfs.xfs")() && program("xfs_growfs")() }},
		{[]string{"util-linux", "mount"}, func() bool {
			return program("nsenter")() && program("losetup")() && program("mount")()
		}},
		{[]string{"gcc", "libc6-dev"}, program("gcc")},
		{[]string{"pkg-config"}, program("pkg-config")},
		{[]string{"libseccomp-dev"}, func() bool {
			return exec.Command("pkg-config", "--exists", "libseccomp").Run() == nil //nolint:noctx // It reads one file.
		}},
	}
}

// CheckAPIServer says what keeps an API server from running here: nothing, if it can.
func CheckAPIServer() (reasons []string) {
	if !program("go")() {
		reasons = append(reasons, "the Go toolchain is not in PATH")
	}
	return reasons
}

// Check says what keeps a cluster from running here: nothing, if it can. What apt-get
// can install does not count.
func Check() (reasons []string) {
	reasons = CheckAPIServer()
	if os.Geteuid() != 0 {
		return append(reasons, "you are not root: nodes need namespaces, network links and mounts of their own")
	}
	if err := tryNamespaces(); err != nil {
		reasons = append(reasons, fmt.Sprintf("no namespaces can be made here (%v): "+
			"is this a container without privileges?", err))
	}
	if missing := missingPackages(); len(missing) > 0 && !program("apt-get")() {
		reasons = append(reasons, "there is no apt-get to install what is missing: "+strings.Join(missing, " "))
	}
	if _, err := os.Stat("/sys/fs/cgroup"); err != nil {
		reasons = append(reasons, "no control groups are mounted at /sys/fs/cgroup")
	}
	return reasons
}

// CannotRun is the error for a machine that cannot run a cluster.
func CannotRun(reasons []string) error {
	return fmt.Errorf("this machine cannot run a cluster:\n  - %s\n"+
		"Use a cluster that you have instead: KUBECONFIG=... make quickstart, KUBECONFIG=... make test",
		strings.Join(reasons, "\n  - "))
}

// Install installs the Debian packages that are missing.
func Install(ctx context.Context, out *progress.Printer) error {
	missing := missingPackages()
	if len(missing) == 0 {
		return nil
	}
	what := "installing Debian packages: " + strings.Join(missing, " ")
	return out.LongStep(what, "about 20 s, once", func() error {
		install := append([]string{"install", "-y", "--no-install-recommends"}, missing...)
		for _, args := range [][]string{{"update"}, install} {
			cmd := exec.CommandContext(ctx, "apt-get", args...)
			cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
			if output, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("apt-get %s: %w\n%s", strings.Join(args, " "), err, output)
			}
		}
		return nil
	})
}

func missingPackages() (packages []string) {
	for _, need := range needs() {
		if !need.present() {
			packages = append(packages, need.packages...)
		}
	}
	slices.Sort(packages)
	return packages
}

func tryNamespaces() error {
	cmd := exec.Command("true") //nolint:noctx // It ends at once.
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWPID |
		syscall.CLONE_NEWNS | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC}
	return cmd.Run()
}
