package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/caretaker-dev/caretaker/devcluster/internal/config"
	"github.com/caretaker-dev/caretaker/devcluster/internal/layout"
	"github.com/caretaker-dev/caretaker/devcluster/internal/parts"
	"github.com/caretaker-dev/caretaker/devcluster/internal/pki"
)

// apiDeadline is how long the API server may take to be ready.
const apiDeadline = 2 * time.Minute

// choosePorts keeps the ports of an earlier run as long as they are free.
func (c *Cluster) choosePorts(ctx context.Context) error {
	ports := []*int{&c.state.EtcdPort, &c.state.EtcdPeerPort}
	if c.process(etcd).PID() != 0 {
		ports = nil
	}
	if c.state.ControlPlaneOnly && c.process(apiServer).PID() == 0 {
		ports = append(ports, &c.state.APIPort)
	}
	var listeners []net.Listener
	defer func() {
		for _, listener := range listeners {
			_ = listener.Close()
		}
	}()
	for _, port := range ports {
		var configuration net.ListenConfig
		listener, err := configuration.Listen(ctx, "tcp", "127.0.0.1:"+strconv.Itoa(*port))
		if err != nil {
			listener, err = configuration.Listen(ctx, "tcp", "127.0.0.1:0")
		}
		if err != nil {
			return fmt.Errorf("finding a free port: %w", err)
		}
		listeners = append(listeners, listener)
		if address, ok := listener.Addr().(*net.TCPAddr); ok {
			*port = address.Port
		}
	}
	return nil
}

// identities are those whom the API server knows from the start.
func (c *Cluster) identities() []pki.Identity {
	network := c.network()
	all := []pki.Identity{
		{
			File: "apiserver", CommonName: "kube-apiserver",
			DNSNames: []string{
				"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
				"kubernetes.default.svc.cluster.local",
			},
			Addresses: []string{"127.0.0.1", network.APIService().String(), network.Gateway().String()},
		},
		{File: "admin", CommonName: "admin", Organization: "system:masters"},
		{File: "kubelet-client", CommonName: "kube-apiserver-kubelet-client", Organization: "system:masters"},
		{File: "front-proxy", CommonName: "front-proxy"},
		{File: controllerManager, CommonName: "system:kube-controller-manager"},
		{File: scheduler, CommonName: "system:kube-scheduler"},
		{File: "kube-proxy", CommonName: "system:kube-proxy"},
	}
	for i := 1; i <= c.state.Nodes; i++ {
		name := layout.NodeName(i)
		all = append(all, pki.Identity{
			File: name, CommonName: "system:node:" + name, Organization: "system:nodes",
			DNSNames: []string{name}, Addresses: []string{network.NodeAddress(i).String()},
		})
	}
	return all
}

// writeFiles writes certificates and configuration of the control plane.
func (c *Cluster) writeFiles() (*pki.Authority, error) {
	authority, err := pki.Open(c.dirs.PKI())
	if err != nil {
		return nil, err
	}
	if err := authority.Issue(c.identities()...); err != nil {
		return nil, err
	}
	if err := authority.KeyPair("service-accounts"); err != nil {
		return nil, err
	}
	for file, identity := range map[string]string{
		c.dirs.Kubeconfig(): "admin",
		c.controlPlaneFile(controllerManager + ".kubeconfig"): controllerManager,
		c.controlPlaneFile(scheduler + ".kubeconfig"):         scheduler,
	} {
		if err := config.Kubeconfig(file, c.server(), authority, identity); err != nil {
			return nil, err
		}
	}
	if err := config.CoreDNS(c.controlPlaneFile("Corefile"), c.dirs.Kubeconfig(), c.network()); err != nil {
		return nil, err
	}
	return authority, config.AuditPolicy(c.controlPlaneFile("audit-policy.yaml"))
}

func (c *Cluster) controlPlaneFile(name string) string {
	return filepath.Join(c.dirs.ControlPlane(), name)
}

// startComponent starts one of the control plane's programs, unless it runs.
func (c *Cluster) startComponent(name string) error {
	if c.process(name).PID() != 0 {
		return nil
	}
	if name == csiController {
		// They end once they notice that it is another one, which is when somebody wants something of them.
		if err := c.process(csiSidecars).Kill(); err != nil {
			return err
		}
	}
	args, err := c.command(name)
	if err != nil {
		return err
	}
	cmd := exec.Command(args[0], args[1:]...) //nolint:noctx // It outlives this run.
	cmd.Env = append(os.Environ(), c.marker())
	return c.process(name).Start(cmd)
}

func (c *Cluster) command(name string) ([]string, error) {
	pkiFile := func(file string) string { return filepath.Join(c.dirs.PKI(), file) }
	switch name {
	case etcd:
		client := "http://127.0.0.1:" + strconv.Itoa(c.state.EtcdPort)
		peer := "http://127.0.0.1:" + strconv.Itoa(c.state.EtcdPeerPort)
		return []string{
			c.built.Program(parts.Etcd, etcd), "--data-dir", filepath.Join(c.dirs.State, "etcd"),
			"--listen-client-urls", client, "--advertise-client-urls", client,
			"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
			"--initial-cluster", "default=" + peer, "--log-level", "warn", "--unsafe-no-fsync",
		}, nil
	case apiServer:
		return append([]string{c.built.Program(parts.Kubernetes, name)}, c.apiServerFlags()...), nil
	case controllerManager:
		return []string{
			c.built.Program(parts.Kubernetes, name), "--kubeconfig", c.controlPlaneFile(name + ".kubeconfig"),
			"--service-account-private-key-file", pkiFile("service-accounts.key"), "--root-ca-file", pkiFile("ca.crt"),
			"--cluster-signing-cert-file", pkiFile("ca.crt"), "--cluster-signing-key-file", pkiFile("ca.key"),
			"--use-service-account-credentials", "--leader-elect=false", "--secure-port", "0",
			"--cluster-cidr", c.network().PodSubnet().String(), "--allocate-node-cidrs=false",
		}, nil
	case scheduler:
		return []string{
			c.built.Program(parts.Kubernetes, name), "--kubeconfig", c.controlPlaneFile(name + ".kubeconfig"),
			"--leader-elect=false", "--secure-port", "0",
		}, nil
	case coreDNS:
		return []string{c.built.Program(parts.CoreDNS, name), "-conf", c.controlPlaneFile("Corefile")}, nil
	case volumeProvisioner:
		executable, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("finding this program: %w", err)
		}
		return []string{executable, "volumes", "--dir", c.dirs.State}, nil
	case csiController:
		return []string{c.built.Program(parts.CSIDriver, "csi-driver"), "controller", c.dirs.State, c.dirs.CSISocket()}, nil
	case csiSidecars:
		return []string{
			c.built.Program(parts.CSI, name), "--kubeconfig", c.dirs.Kubeconfig(), "--csi-address", c.dirs.CSISocket(),
		}, nil
	}
	return nil, errors.New("no such component: " + name)
}

func (c *Cluster) apiServerFlags() []string {
	pkiFile := func(file string) string { return filepath.Join(c.dirs.PKI(), file) }
	flags := []string{
		"--etcd-servers", "http://127.0.0.1:" + strconv.Itoa(c.state.EtcdPort),
		"--bind-address", c.apiAddress(), "--advertise-address", c.apiAddress(),
		"--secure-port", strconv.Itoa(c.apiPort()),
		"--service-cluster-ip-range", c.network().ServiceSubnet().String(),
		"--tls-cert-file", pkiFile("apiserver.crt"), "--tls-private-key-file", pkiFile("apiserver.key"),
		"--client-ca-file", pkiFile("ca.crt"), "--authorization-mode", "Node,RBAC",
		"--enable-admission-plugins", "NodeRestriction", "--allow-privileged",
		"--service-account-issuer", "https://kubernetes.default.svc",
		"--service-account-key-file", pkiFile("service-accounts.key"),
		"--service-account-signing-key-file", pkiFile("service-accounts.key"),
		"--kubelet-certificate-authority", pkiFile("ca.crt"),
		"--kubelet-client-certificate", pkiFile("kubelet-client.crt"),
		"--kubelet-client-key", pkiFile("kubelet-client.key"),
		"--kubelet-preferred-address-types", "InternalIP",
		"--requestheader-client-ca-file", pkiFile("ca.crt"), "--requestheader-allowed-names", "front-proxy",
		"--requestheader-extra-headers-prefix", "X-Remote-Extra-",
		"--requestheader-group-headers", "X-Remote-Group", "--requestheader-username-headers", "X-Remote-User",
		"--proxy-client-cert-file", pkiFile("front-proxy.crt"), "--proxy-client-key-file", pkiFile("front-proxy.key"),
		// Webhooks are called at their pods: the control plane is not among the nodes
		// and has no kube-proxy.
		"--enable-aggregator-routing",
		"--audit-policy-file", c.controlPlaneFile("audit-policy.yaml"),
		"--audit-log-path", filepath.Join(c.dirs.Logs(), "audit.log"),
		"--audit-log-maxsize", "100", "--audit-log-maxbackup", "3",
	}
	if c.state.ControlPlaneOnly {
		// There is nobody who would make ServiceAccounts, and no pod that could reach
		// the address of the API server.
		flags = append(flags, "--disable-admission-plugins", "ServiceAccount", "--endpoint-reconciler-type", "none")
	}
	return flags
}

// startAPI starts etcd and the API server and waits until it is ready.
func (c *Cluster) startAPI(ctx context.Context) error {
	for _, name := range []string{etcd, apiServer} {
		if err := c.startComponent(name); err != nil {
			return err
		}
	}
	client, err := c.client()
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(apiDeadline); ; time.Sleep(100 * time.Millisecond) {
		err := client.Discovery().RESTClient().Get().AbsPath("/readyz").Timeout(5 * time.Second).Do(ctx).Error()
		switch {
		case err == nil:
			return nil
		case c.process(etcd).PID() == 0:
			return fmt.Errorf("etcd ended: see %s; if the machine crashed and its data is damaged, "+
				"begin anew: devcluster down", c.dirs.Log(etcd))
		case c.process(apiServer).PID() == 0:
			return fmt.Errorf("kube-apiserver ended: see %s", c.dirs.Log(apiServer))
		case ctx.Err() != nil || time.Now().After(deadline):
			return fmt.Errorf("kube-apiserver is not ready: %w; see %s", err, c.dirs.Log(apiServer))
		}
	}
}
