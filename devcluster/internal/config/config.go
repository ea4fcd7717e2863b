package config

import (
	"bytes"
	"embed"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"text/template"

	"github.com/caretaker-dev/caretaker/devcluster/internal/layout"
	"github.com/caretaker-dev/caretaker/devcluster/internal/pki"
)

//go:embed templates
var templates embed.FS

// PauseImage is the image that holds pods' namespaces.
const PauseImage = "localhost/devcluster/pause:1"

// render fills in a template.
func render(name string, data any) ([]byte, error) {
	parsed, err := template.New(name).Option("missingkey=error").ParseFS(templates, "templates/"+name)
	if err != nil {
		return nil, fmt.Errorf("template %s: %w", name, err)
	}
	var out bytes.Buffer
	if err := parsed.Execute(&out, data); err != nil {
		return nil, fmt.Errorf("template %s: %w", name, err)
	}
	return out.Bytes(), nil
}

// write renders a template into a file, which readers see whole or not at all.
func write(path, name string, data any) error {
	content, err := render(name, data)
	if err != nil {
		return err
	}
	return WriteFile(path, content)
}

// WriteFile writes a file that readers see whole or not at all.
func WriteFile(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	return nil
}

// Kubeconfig writes a kubeconfig that needs no other file.
func Kubeconfig(path, server string, authority *pki.Authority, identity string) error {
	data := map[string]string{"Server": server}
	for key, file := range map[string]string{
		"CA": authority.Cert("ca"), "Cert": authority.Cert(identity), "Key": authority.Key(identity),
	} {
		content, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("kubeconfig: %w", err)
		}
		data[key] = base64.StdEncoding.EncodeToString(content)
	}
	return write(path, "kubeconfig", data)
}

// CoreDNS writes CoreDNS's configuration.
func CoreDNS(path, kubeconfig string, network layout.Network) error {
	return write(path, "Corefile", map[string]any{"Address": network.Gateway(), "Kubeconfig": kubeconfig})
}

// AuditPolicy writes what the API server records: every request's metadata.
func AuditPolicy(path string) error { return write(path, "audit-policy.yaml", nil) }

// StorageClasses are the cluster's storage classes, as YAML documents.
func StorageClasses() ([]byte, error) { return render("storage-classes.yaml", nil) }

// CSI is what a cluster with a CSI driver has, as YAML documents.
func CSI() ([]byte, error) { return render("csi.yaml", map[string]any{"Driver": layout.CSIDriver}) }

// Node writes the files that node number i needs into its folder.
func Node(dir string, network layout.Network, i int, server string, authority *pki.Authority) error {
	name := layout.NodeName(i)
	data := map[string]any{
		"Name": name, "Cgroup": NodeCgroup(network, i), "PauseImage": PauseImage,
		"PodSubnet": network.NodePodSubnet(i), "ClusterPodSubnet": network.PodSubnet(),
		"DNS": network.DNSService(), "ContainerdSocket": layout.ContainerdSocket,
		"NodeDir": layout.NodeDir, "NodeParts": layout.NodeParts,
	}
	for file, name := range map[string]string{
		"containerd.toml": "containerd.toml", "kubelet.yaml": "kubelet.yaml",
		"kube-proxy.yaml": "kube-proxy.yaml", "cni/10-devcluster.conflist": "cni.conflist",
	} {
		if err := write(filepath.Join(dir, file), name, data); err != nil {
			return err
		}
	}
	resolv := fmt.Sprintf("nameserver %s\n", network.DNSService())
	if err := WriteFile(filepath.Join(dir, "resolv.conf"), []byte(resolv)); err != nil {
		return err
	}
	for target, source := range map[string]string{
		"ca.crt": authority.Cert("ca"), "kubelet.crt": authority.Cert(name), "kubelet.key": authority.Key(name),
	} {
		content, err := os.ReadFile(source)
		if err != nil {
			return fmt.Errorf("certificates of %s: %w", name, err)
		}
		if err := WriteFile(filepath.Join(dir, "pki", target), content); err != nil {
			return err
		}
	}
	if err := Kubeconfig(filepath.Join(dir, "kubelet.kubeconfig"), server, authority, name); err != nil {
		return err
	}
	return Kubeconfig(filepath.Join(dir, "kube-proxy.kubeconfig"), server, authority, "kube-proxy")
}

// NodeCgroup is the control group of node number i, in every hierarchy.
func NodeCgroup(network layout.Network, i int) string {
	return network.Name() + "/" + layout.NodeName(i)
}
