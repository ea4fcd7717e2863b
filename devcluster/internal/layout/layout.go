package layout

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Dirs are the folders the tool works in.
type Dirs struct {
	// Checkout is the work tree the tool belongs to: it has the parts' go.mod files.
	Checkout string
	// State holds everything of one cluster.
	State string
	// Cache holds what all clusters of this user share: built programs and slots.
	Cache string
}

// Find locates the folders: the checkout from the executable or the current folder,
// the state from stateDir if that is not empty.
func Find(stateDir string) (Dirs, error) {
	checkout, err := findCheckout()
	if err != nil {
		return Dirs{}, err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return Dirs{}, fmt.Errorf("no folder to keep built programs in: %w (set HOME or XDG_CACHE_HOME)", err)
	}
	if stateDir == "" {
		stateDir = filepath.Join(checkout, ".devcluster")
	}
	state, err := filepath.Abs(stateDir)
	if err != nil {
		return Dirs{}, fmt.Errorf("state folder %s: %w", stateDir, err)
	}
	return Dirs{Checkout: checkout, State: state, Cache: filepath.Join(cache, "caretaker", "devcluster")}, nil
}

func findCheckout() (string, error) {
	var starts []string
	if executable, err := os.Executable(); err == nil {
		starts = append(starts, filepath.Dir(executable))
	}
	if cwd, err := os.Getwd(); err == nil {
		starts = append(starts, cwd)
	}
	for _, start := range starts {
		for dir := start; ; dir = filepath.Dir(dir) {
			if _, err := os.Stat(filepath.Join(dir, "devcluster", "parts", "kubernetes", "go.mod")); err == nil {
				return dir, nil
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	return "", errors.New("devcluster/parts not found above the program or the current folder: run it inside a checkout")
}

// Parts is where the go.mod files of the programs to build are.
func (d Dirs) Parts() string { return filepath.Join(d.Checkout, "devcluster", "parts") }

// Bin is where programs for the user go.
func (d Dirs) Bin() string { return filepath.Join(d.Checkout, "bin") }

// Slots is where the machine's slots are claimed.
func (d Dirs) Slots() string { return filepath.Join(d.Cache, "slots") }

// Kubeconfig is the administrator's kubeconfig.
func (d Dirs) Kubeconfig() string { return filepath.Join(d.State, "kubeconfig") }

// PKI holds certificates and keys.
func (d Dirs) PKI() string { return filepath.Join(d.State, "pki") }

// Logs holds one file per process, and the API server's audit log.
func (d Dirs) Logs() string { return filepath.Join(d.State, "logs") }

// Log is the log of one process.
func (d Dirs) Log(name string) string { return filepath.Join(d.Logs(), name+".log") }

// Run holds one file per running process.
func (d Dirs) Run() string { return filepath.Join(d.State, "run") }

// CSISocket is the socket of the CSI driver's controller.
func (d Dirs) CSISocket() string { return filepath.Join(d.Run(), "csi.sock") }

// ControlPlane holds the configuration of the control plane's programs.
func (d Dirs) ControlPlane() string { return filepath.Join(d.State, "control-plane") }

// Node holds everything of one node: what a machine would keep on its disk.
func (d Dirs) Node(name string) string { return filepath.Join(d.State, "nodes", name) }

// Inside a node these folders are the same for every node and every cluster, which
// keeps sockets' paths short and configuration simple.
const (
	// NodeDir is the node's own folder, as the node sees it.
	NodeDir = "/run/devcluster/node"
	// NodeParts has the built programs, one folder for each part.
	NodeParts = "/run/devcluster/parts"
	// NodeVolumes has a folder for each volume on the node.
	NodeVolumes = NodeDir + "/volumes"
	// NodeImages has the files of loop-mounted volumes.
	NodeImages = NodeDir + "/volume-files"
	// ContainerdSocket is containerd's socket, as the node sees it.
	ContainerdSocket = "/run/containerd/containerd.sock"
)

// CSIDriver is the name of the CSI driver in parts/csi-driver.
const CSIDriver = "csi.devcluster.caretaker.dev"
