package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/caretaker-dev/caretaker/devcluster/internal/config"
	"github.com/caretaker-dev/caretaker/devcluster/internal/host"
	"github.com/caretaker-dev/caretaker/devcluster/internal/layout"
	"github.com/caretaker-dev/caretaker/devcluster/internal/node"
	"github.com/caretaker-dev/caretaker/devcluster/internal/parts"
	"github.com/caretaker-dev/caretaker/devcluster/internal/process"
	"github.com/caretaker-dev/caretaker/devcluster/internal/progress"
)

// errNoCluster says that there is nothing to work on.
var errNoCluster = errors.New("no cluster here: devcluster up")

// Cluster is one cluster.
type Cluster struct {
	dirs  layout.Dirs
	out   *progress.Printer
	state state
	built parts.Built
}

// state is what the state folder remembers.
type state struct {
	// Slot decides names and addresses; a control plane alone has none.
	Slot             int
	Nodes            int
	ControlPlaneOnly bool
	// CSI says that there is a CSI driver.
	CSI bool
	// EtcdPort, EtcdPeerPort and, for a control plane alone, APIPort are on localhost.
	EtcdPort, EtcdPeerPort, APIPort int
}

// New returns the cluster of these folders, which need not exist yet.
func New(dirs layout.Dirs, out *progress.Printer) *Cluster {
	return &Cluster{dirs: dirs, out: out}
}

// Open returns the cluster of these folders, which must have been started once.
func Open(dirs layout.Dirs, out *progress.Printer) (*Cluster, error) {
	c := New(dirs, out)
	found, err := c.load()
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, errNoCluster
	}
	return c, nil
}

func (c *Cluster) stateFile() string { return filepath.Join(c.dirs.State, "cluster.json") }

func (c *Cluster) load() (found bool, err error) {
	content, err := os.ReadFile(c.stateFile())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("state of the cluster: %w", err)
	}
	if err := json.Unmarshal(content, &c.state); err != nil {
		return false, fmt.Errorf("state of the cluster: %s: %w", c.stateFile(), err)
	}
	return true, nil
}

func (c *Cluster) save() error {
	content, err := json.MarshalIndent(c.state, "", "  ")
	if err != nil {
		return fmt.Errorf("state of the cluster: %w", err)
	}
	return config.WriteFile(c.stateFile(), content)
}

// lock keeps other runs of the tool from changing the same cluster.
func (c *Cluster) lock() (unlock func(), err error) {
	if err := os.MkdirAll(c.dirs.State, 0o750); err != nil {
		return nil, fmt.Errorf("state of the cluster: %w", err)
	}
	return host.Lock(filepath.Join(c.dirs.State, "lock"))
}

func (c *Cluster) network() layout.Network { return layout.Network{Slot: c.state.Slot} }

func (c *Cluster) nodes() []node.Node {
	nodes := make([]node.Node, c.state.Nodes)
	for i := range nodes {
		nodes[i] = node.Node{Index: i + 1, Dirs: c.dirs, Network: c.network(), Marker: c.marker()}
	}
	return nodes
}

// Node finds a node by its name.
func (c *Cluster) Node(name string) (node.Node, error) {
	for _, n := range c.nodes() {
		if n.Name() == name {
			return n, nil
		}
	}
	return node.Node{}, fmt.Errorf("no node %q: there are node-1 to node-%d", name, c.state.Nodes)
}

// NodeNames are the names of all nodes.
func (c *Cluster) NodeNames() (names []string) {
	for _, n := range c.nodes() {
		names = append(names, n.Name())
	}
	return names
}

// Names of the control plane's programs.
const (
	etcd              = "etcd"
	apiServer         = "kube-apiserver"
	controllerManager = "kube-controller-manager"
	scheduler         = "kube-scheduler"
	coreDNS           = "coredns"
	volumeProvisioner = "volumes"

	csiController      = "csi-controller"
	csiProvisioner     = "csi-provisioner"
	csiSnapshotter     = "csi-snapshotter"
	snapshotController = "snapshot-controller"
)

// components are the control plane's programs, in the order in which they start.
func (c *Cluster) components() []string {
	if c.state.ControlPlaneOnly {
		return []string{etcd, apiServer}
	}
	all := []string{etcd, apiServer, controllerManager, scheduler, coreDNS, volumeProvisioner}
	if c.state.CSI {
		all = append(all, csiController, csiProvisioner, csiSnapshotter, snapshotController)
	}
	return all
}

func (c *Cluster) process(name string) process.Process {
	return process.Process{
		PIDFile: filepath.Join(c.dirs.Run(), name), Log: c.dirs.Log(name),
	}
}

// server is the API server's URL.
func (c *Cluster) server() string { return fmt.Sprintf("https://%s:%d", c.apiAddress(), c.apiPort()) }

func (c *Cluster) apiAddress() string {
	if c.state.ControlPlaneOnly {
		return "127.0.0.1"
	}
	return c.network().Gateway().String()
}

func (c *Cluster) apiPort() int {
	if c.state.ControlPlaneOnly {
		return c.state.APIPort
	}
	return 6443
}
