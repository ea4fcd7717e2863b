package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/caretaker-dev/caretaker/devcluster/internal/images"
)

const image = "localhost/devcluster/probe:1"

// workload is a pod on every node behind a Service, and one with volumes.
const workload = `
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: probe}
spec:
  selector: {matchLabels: {app: probe}}
  template:
    metadata: {labels: {app: probe}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: probe, image: "` + image + `", readinessProbe: {httpGet: {port: 8080}, periodSeconds: 1}}]
---
apiVersion: v1
kind: Service
metadata: {name: probe}
spec: {selector: {app: probe}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: folder}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 64Mi}}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: loop}
spec: {accessModes: [ReadWriteOnce], storageClassName: loop, resources: {requests: {storage: 64Mi}}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: disk}
spec:
  selector: {matchLabels: {app: disk}}
  serviceName: disk
  template:
    metadata: {labels: {app: disk}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: probe
        image: "` + image + `"
        readinessProbe: {httpGet: {port: 8080}, periodSeconds: 1}
        volumeMounts: [{name: folder, mountPath: /folder}, {name: loop, mountPath: /loop}]
      volumes:
      - {name: folder, persistentVolumeClaim: {claimName: folder}}
      - {name: loop, persistentVolumeClaim: {claimName: loop}}
`

// bench is the tool under test and where its cluster is.
type bench struct {
	*testing.T
	binary, kubectl, state string
}

func TestCluster(t *testing.T) {
	if os.Getenv("DEVCLUSTER_E2E") == "" {
		t.Skip("needs root and minutes: set DEVCLUSTER_E2E=1")
	}
	b := newBench(t)
	t.Cleanup(func() { _, _ = b.try(b.binary, "down") })
	steps := []struct {
		name string
		run  func(b bench)
	}{
		{"up", bench.up},
		{"load", bench.load},
		{"workload", bench.workload},
		{"network", bench.network},
		{"volumes", bench.volumes},
		{"node stop and start", bench.nodeStop},
		{"node pause and resume", bench.nodePause},
		{"network cuts", bench.cuts},
		{"api stop and start", bench.apiStop},
		{"kill everything", bench.killAll},
		{"control plane only", bench.controlPlaneOnly},
		{"delete volumes", bench.deleteVolumes},
		{"down", bench.down},
	}
	for _, step := range steps {
		start := time.Now()
		if !t.Run(step.name, func(t *testing.T) { step.run(bench{t, b.binary, b.kubectl, b.state}) }) {
			t.FailNow()
		}
		t.Logf("%s: %.1f s", step.name, time.Since(start).Seconds())
	}
}

func newBench(t *testing.T) bench {
	t.Helper()
	dir := t.TempDir()
	b := bench{T: t, binary: filepath.Join(dir, "devcluster"), state: filepath.Join(dir, "state")}
	t.Setenv("DEVCLUSTER_DIR", b.state)
	t.Setenv("KUBECONFIG", filepath.Join(b.state, "kubeconfig"))
	b.do("go", "build", "-o", b.binary, "../..")
	checkout, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	b.kubectl = filepath.Join(checkout, "bin", "kubectl")
	return b
}

func (b bench) try(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	output, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	return strings.TrimSpace(string(output)), err
}

// do runs a program that must succeed.
func (b bench) do(name string, args ...string) string {
	b.Helper()
	output, err := b.try(name, args...)
	if err != nil {
		b.Fatalf("%s %v: %v\n%s", filepath.Base(name), args, err, output)
	}
	return output
}

// eventually waits until a condition holds, which says what is missing.
func (b bench) eventually(limit time.Duration, condition func() error) {
	b.Helper()
	for deadline := time.Now().Add(limit); ; time.Sleep(200 * time.Millisecond) {
		err := condition()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			b.Fatalf("after %s: %v", limit, err)
		}
	}
}

// get asks a pod's address from the machine itself.
func get(address string) (string, error) {
	client := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get("http://" + address + ":8080")
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

// find finds the name and address of the probe on a node.
func (b bench) find(node string) (name, address string, err error) {
	output, err := b.try(b.kubectl, "get", "pods", "-l", "app=probe", "--field-selector", "spec.nodeName="+node,
		"-o", "jsonpath={.items[0].metadata.name} {.items[0].status.podIP}")
	fields := strings.Fields(output)
	if err != nil || len(fields) != 2 {
		return "", "", fmt.Errorf("no probe with an address on %s: %s", node, output)
	}
	return fields[0], fields[1], nil
}

func (b bench) pod(node string) (name, address string) {
	b.Helper()
	name, address, err := b.find(node)
	if err != nil {
		b.Fatal(err)
	}
	return name, address
}

// answers and silent say whether the machine reaches the probe on a node.
func (b bench) answers(node string) {
	b.Helper()
	b.eventually(90*time.Second, func() error {
		_, address, err := b.find(node)
		if err == nil {
			_, err = get(address)
		}
		return err
	})
}

func (b bench) silent(node string) {
	b.Helper()
	_, address := b.pod(node)
	if body, err := get(address); err == nil {
		b.Fatalf("the pod on %s still answers: %s", node, body)
	}
}

func (b bench) ready() {
	b.Helper()
	b.do(b.kubectl, "rollout", "status", "daemonset/probe", "--timeout=120s")
	b.do(b.kubectl, "rollout", "status", "statefulset/disk", "--timeout=120s")
}

// diskNode is the node that has the volumes.
func (b bench) diskNode() string {
	b.Helper()
	return b.do(b.kubectl, "get", "pod", "disk-0", "-o", "jsonpath={.spec.nodeName}")
}

func (b bench) up() {
	start := time.Now()
	b.do(b.binary, "up")
	b.Logf("up with everything built: %.1f s", time.Since(start).Seconds())
	nodes := b.do(b.kubectl, "get", "nodes", "-o",
		`jsonpath={range .items[*]}{.metadata.name} {.status.conditions[?(@.type=="Ready")].status} {.metadata.labels.topology\.kubernetes\.io/zone}{"\n"}{end}`)
	if want := "node-1 True zone-1\nnode-2 True zone-2\nnode-3 True zone-3"; nodes != want {
		b.Errorf("nodes:\n%s\nwant:\n%s", nodes, want)
	}
	start = time.Now()
	b.do(b.binary, "up")
	if took := time.Since(start); took > 3*time.Second {
		b.Errorf("up of a running cluster takes %s", took)
	}
}

func (b bench) load() {
	dir := b.TempDir()
	program := filepath.Join(dir, "probe")
	b.Setenv("CGO_ENABLED", "0")
	b.do("go", "build", "-o", program, "./probe")
	content, err := images.Pack(image, program)
	if err != nil {
		b.Fatal(err)
	}
	archive := filepath.Join(dir, "probe.tar")
	if err := os.WriteFile(archive, content, 0o600); err != nil {
		b.Fatal(err)
	}
	if first := b.do(b.binary, "load", archive); strings.Count(first, image) != 3 {
		b.Errorf("load does not tell of three nodes:\n%s", first)
	}
	if second := b.do(b.binary, "load", archive); second != "" {
		b.Errorf("load of what is there:\n%s", second)
	}
}

func (b bench) workload() {
	file := filepath.Join(b.TempDir(), "workload.yaml")
	if err := os.WriteFile(file, []byte(workload), 0o600); err != nil {
		b.Fatal(err)
	}
	b.do(b.kubectl, "apply", "-f", file)
	b.ready()
}

func (b bench) network() {
	for _, from := range []string{"node-1", "node-2", "node-3"} {
		pod, address := b.pod(from)
		for _, to := range []string{"node-1", "node-2", "node-3"} {
			other, otherAddress := b.pod(to)
			answer := b.do(b.kubectl, "exec", pod, "--", "/probe", "get", "http://"+otherAddress+":8080")
			// The other one must see the pod's own address, not its node's.
			if want := other + " " + address; answer != want {
				b.Errorf("from %s to %s: %q, want %q", from, to, answer, want)
			}
		}
		for _, name := range []string{"probe", "probe.default.svc.cluster.local"} {
			if answer := b.do(b.kubectl, "exec", pod, "--", "/probe", "get", "http://"+name); !strings.HasPrefix(answer, "probe-") {
				b.Errorf("service %s from %s: %q", name, from, answer)
			}
		}
	}
}

func (b bench) disk(args ...string) string {
	b.Helper()
	return b.do(b.kubectl, append([]string{"exec", "disk-0", "--", "/probe"}, args...)...)
}

func (b bench) number(text string) int {
	b.Helper()
	number, err := strconv.Atoi(text)
	if err != nil {
		b.Fatal(err)
	}
	return number
}

func (b bench) volumes() {
	b.disk("write", "/folder/kept", "folder")
	b.disk("write", "/loop/kept", "loop")
	if filled := b.number(b.disk("fill", "/loop/ballast")); filled > 64<<20 {
		b.Errorf("a volume of 64 MiB took %d bytes", filled)
	}
	before := b.number(b.disk("size", "/loop"))
	for _, claim := range []string{"folder", "loop"} {
		b.do(b.kubectl, "patch", "pvc", claim, "-p", `{"spec":{"resources":{"requests":{"storage":"256Mi"}}}}`)
		b.do(b.kubectl, "wait", "pvc/"+claim, "--for=jsonpath={.status.capacity.storage}=256Mi", "--timeout=30s")
	}
	if after := b.number(b.disk("size", "/loop")); after-before != 192<<20 {
		b.Errorf("the file system has %d bytes after %d: not 192 MiB more", after, before)
	}
	b.disk("write", "/loop/more", "room again")
}

// kept checks that the volumes are as they were.
func (b bench) kept() {
	b.Helper()
	for _, kind := range []string{"folder", "loop"} {
		if content := b.disk("read", "/"+kind+"/kept"); content != kind {
			b.Errorf("volume %s lost its data: %q", kind, content)
		}
	}
	if size := b.number(b.disk("size", "/loop")); size < 200<<20 {
		b.Errorf("the file system has shrunk to %d bytes", size)
	}
}

func (b bench) nodeStop() {
	node := b.diskNode()
	b.answers(node)
	b.do(b.binary, "node", "stop", node)
	b.silent(node)
	if status := b.do(b.binary, "status"); !strings.Contains(status, "not running") {
		b.Errorf("status does not tell that %s is off:\n%s", node, status)
	}
	b.do(b.binary, "node", "start", node)
	b.answers(node)
	b.ready()
	b.kept()
}

func (b bench) nodePause() {
	b.do(b.binary, "node", "pause", "node-2")
	b.silent("node-2")
	b.do(b.binary, "node", "resume", "node-2")
	b.answers("node-2")
	b.do(b.binary, "node", "pause", "node-2")
	b.do(b.binary, "node", "stop", "node-2")
	b.do(b.binary, "node", "start", "node-2")
	b.answers("node-2")
}

// reaches says whether the pod on one node reaches that on another.
func (b bench) reaches(from, to string) bool {
	b.Helper()
	pod, _ := b.pod(from)
	_, address := b.pod(to)
	_, err := b.try(b.kubectl, "exec", pod, "--", "/probe", "get", "http://"+address+":8080")
	return err == nil
}

func (b bench) cuts() {
	b.ready()
	b.do(b.binary, "net", "cut", "node-3", "--from", "peers")
	if b.reaches("node-1", "node-3") || b.reaches("node-3", "node-1") {
		b.Error("peers still reach a node that is cut off from them")
	}
	if !b.reaches("node-1", "node-2") {
		b.Error("nodes that are not cut off do not reach each other")
	}
	b.answers("node-3")
	b.do(b.binary, "net", "heal", "node-3", "--from", "peers")
	b.do(b.binary, "net", "cut", "node-3", "--from", "api")
	if !b.reaches("node-1", "node-3") {
		b.Error("peers do not reach a node that is cut off from the API server only")
	}
	b.silent("node-3")
	if _, err := b.try(b.kubectl, "get", "--raw", "/api/v1/nodes/node-3/proxy/healthz", "--request-timeout=5s"); err == nil {
		b.Error("the API server reaches a node that is cut off from it")
	}
	b.do(b.binary, "net", "heal", "node-3")
	b.answers("node-3")
	b.do(b.binary, "net", "cut", "node-3")
	b.silent("node-3")
	if b.reaches("node-1", "node-3") {
		b.Error("a peer reaches a node that is cut off")
	}
	b.do(b.binary, "net", "heal", "node-3")
	b.answers("node-3")
}

func (b bench) apiStop() {
	_, address := b.pod("node-1")
	b.do(b.binary, "api", "stop")
	if output, err := b.try(b.kubectl, "get", "nodes", "--request-timeout=3s"); err == nil {
		b.Errorf("the API server answers:\n%s", output)
	}
	if _, err := get(address); err != nil {
		b.Errorf("pods do not run on without the API server: %v", err)
	}
	b.do(b.binary, "api", "start")
	b.do(b.kubectl, "get", "nodes")
	if status := b.do(b.binary, "status"); strings.Contains(status, "not running") {
		b.Errorf("something ended with the API server:\n%s", status)
	}
}

// ours are the processes of the cluster, but for those inside nodes.
func (b bench) ours() (pids []int) {
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		b.Fatal(err)
	}
	for _, file := range files {
		environment, err := os.ReadFile(file)
		pid, _ := strconv.Atoi(strings.Split(file, "/")[2])
		if err == nil && strings.Contains(string(environment), "DEVCLUSTER_OF="+b.state+"\x00") && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids
}

// killAll leaves the machine as after a reboot: neither processes nor the network.
func (b bench) killAll() {
	name := b.name()
	pids := b.ours()
	if len(pids) < 9 {
		b.Errorf("only %d processes of the cluster were found", len(pids))
	}
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGKILL) // A node's programs end with its first process.
	}
	b.eventually(10*time.Second, func() error {
		if left := b.ours(); len(left) > 0 {
			return fmt.Errorf("processes %v are left", left)
		}
		return nil
	})
	b.do("ip", "link", "delete", name)
	b.do("nft", "delete", "table", "ip", name)
	b.do("nft", "delete", "table", "bridge", name)
	start := time.Now()
	b.do(b.binary, "up")
	b.Logf("up after everything was killed: %.1f s", time.Since(start).Seconds())
	for _, node := range []string{"node-1", "node-2", "node-3"} {
		b.answers(node)
	}
	b.ready()
	b.kept()
}

func (b bench) controlPlaneOnly() {
	state := filepath.Join(b.TempDir(), "state")
	start := time.Now()
	b.do(b.binary, "up", "--control-plane-only", "--dir", state)
	b.Logf("control plane only: %.1f s", time.Since(start).Seconds())
	b.do(b.kubectl, "--kubeconfig", filepath.Join(state, "kubeconfig"), "create", "configmap", "x")
	audit, err := os.ReadFile(filepath.Join(state, "logs", "audit.log"))
	if err != nil || !strings.Contains(string(audit), `"verb":"create"`) {
		b.Errorf("the audit log does not tell of a write: %v", err)
	}
	other := bench{T: b.T, state: state}
	if len(other.ours()) != 2 {
		b.Errorf("not etcd and the API server, but %d processes", len(other.ours()))
	}
	if err := os.RemoveAll(state); err != nil {
		b.Fatal(err)
	}
	b.do(b.binary, "down", "--dir", state)
	if left := other.ours(); len(left) > 0 {
		b.Errorf("processes %v of a cluster whose files are gone are left", left)
	}
}

func (b bench) deleteVolumes() {
	b.do(b.kubectl, "delete", "statefulset/disk", "pvc/folder", "pvc/loop", "--timeout=60s")
	b.eventually(60*time.Second, func() error {
		if left := b.do(b.kubectl, "get", "pv", "-o", "name"); left != "" {
			return fmt.Errorf("volumes are left: %s", left)
		}
		return nil
	})
	for _, folder := range []string{"volumes", "volume-files"} {
		left, err := filepath.Glob(filepath.Join(b.state, "nodes", "*", folder, "*"))
		if err != nil || len(left) > 0 {
			b.Errorf("files of deleted volumes are left: %v %v", left, err)
		}
	}
}

// leftovers lists what the cluster of this name has on the machine. A control group can
// be removed only when no process is in it: its absence says that none is left.
func (b bench) leftovers(name string) (left []string) {
	b.Helper()
	number := strings.TrimPrefix(name, "devcluster")
	for _, command := range []string{
		"ip -brief link | grep -wE '" + name + "|dc" + number + "-node-[0-9]+'",
		"ip route show table all | grep -w " + name,
		"nft list tables | grep -w " + name,
		"losetup --noheadings --output BACK-FILE | grep -F \"$(cat " + b.volumeNames() + ")\"",
		"grep -F " + b.state + " /proc/self/mounts",
		"find /sys/fs/cgroup -name " + name,
		"grep -Fx " + b.state + " $HOME/.cache/caretaker/devcluster/slots/*",
	} {
		if output, _ := b.try("sh", "-c", command); output != "" {
			left = append(left, output)
		}
	}
	for _, pid := range b.ours() {
		left = append(left, "process "+strconv.Itoa(pid))
	}
	return left
}

// volumeNames is a file with the names of all volumes, one per line.
func (b bench) volumeNames() string {
	b.Helper()
	file := filepath.Join(filepath.Dir(b.state), "volumes")
	if _, err := os.Stat(file); err != nil {
		names := b.do(b.kubectl, "get", "pv", "-o", `jsonpath={range .items[*]}{.metadata.name}{"\n"}{end}`)
		if err := os.WriteFile(file, []byte(names), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	return file
}

func (b bench) down() {
	b.workload() // A cluster in full use is to go.
	link := b.name()
	if before := b.leftovers(link); len(before) < 7 {
		b.Fatalf("not everything of a running cluster is found: %q", before)
	}
	b.do(b.binary, "down")
	if left := b.leftovers(link); len(left) > 0 {
		b.Errorf("down leaves something behind: %q", left)
	}
	if _, err := os.Stat(b.state); err == nil {
		b.Error("down leaves the state folder behind")
	}
	b.do(b.binary, "down")
}

// name is what the cluster is called on this machine: its bridge leads to its pods.
func (b bench) name() string {
	b.Helper()
	_, address := b.pod("node-1")
	return regexp.MustCompile(`devcluster\d+`).FindString(b.do("ip", "route", "get", address))
}
