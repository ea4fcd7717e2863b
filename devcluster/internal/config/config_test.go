package config

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	"github.com/caretaker-dev/caretaker/devcluster/internal/layout"
	"github.com/caretaker-dev/caretaker/devcluster/internal/pki"
)

func TestNodeFiles(t *testing.T) {
	authority, err := pki.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := authority.Issue(pki.Identity{File: "node-2", CommonName: "system:node:node-2"},
		pki.Identity{File: "kube-proxy", CommonName: "system:kube-proxy"}); err != nil {
		t.Fatal(err)
	}
	dir, network := t.TempDir(), layout.Network{Slot: 4}
	if err := Node(dir, network, 2, "https://10.98.4.1:6443", authority); err != nil {
		t.Fatal(err)
	}
	read := func(name string) []byte {
		t.Helper()
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(content), "<no value>") {
			t.Errorf("%s lacks a value:\n%s", name, content)
		}
		return content
	}
	var kubelet struct {
		CgroupRoot   string
		ClusterDNS   []string
		FailCgroupV1 bool
	}
	if err := yaml.Unmarshal(read("kubelet.yaml"), &kubelet); err != nil {
		t.Fatal(err)
	}
	if kubelet.CgroupRoot != "/devcluster4/node-2" || kubelet.ClusterDNS[0] != "10.96.64.10" {
		t.Errorf("kubelet.yaml: %+v", kubelet)
	}
	var proxy struct{ HostnameOverride, ClusterCIDR string }
	if err := yaml.Unmarshal(read("kube-proxy.yaml"), &proxy); err != nil {
		t.Fatal(err)
	}
	if proxy.HostnameOverride != "node-2" || proxy.ClusterCIDR != "10.244.64.0/20" {
		t.Errorf("kube-proxy.yaml: %+v", proxy)
	}
	var cni struct {
		Plugins []struct{ IPMasq bool }
	}
	if err := json.Unmarshal(read("cni/10-devcluster.conflist"), &cni); err != nil {
		t.Fatal(err)
	}
	if cni.Plugins[0].IPMasq {
		t.Error("pods' addresses are translated inside the cluster")
	}
	if content := read("cni/10-devcluster.conflist"); !strings.Contains(string(content), `"10.244.66.0/24"`) {
		t.Errorf("pods of node-2 are elsewhere:\n%s", content)
	}
	if content := read("containerd.toml"); !strings.Contains(string(content), `sandbox = "`+PauseImage+`"`) {
		t.Errorf("containerd.toml does not name the pause image:\n%s", content)
	}
	kubeconfig, err := clientcmd.LoadFromFile(filepath.Join(dir, "kubelet.kubeconfig"))
	if err != nil {
		t.Fatal(err)
	}
	if server := kubeconfig.Clusters["devcluster"].Server; server != "https://10.98.4.1:6443" {
		t.Errorf("kubelet talks to %s", server)
	}
}
