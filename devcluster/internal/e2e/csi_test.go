package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// volumePod is a pod with a volume at /data, and the volume's claim; the last value of the claim is where its content is from.
const volumePod = `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: %[1]s}
spec: {accessModes: [ReadWriteOnce], storageClassName: csi, resources: {requests: {storage: %[2]s}}%[3]s}
---
apiVersion: v1
kind: Pod
metadata: {name: %[1]s}
spec:
  terminationGracePeriodSeconds: 1
  securityContext: {runAsUser: 1000, fsGroup: 1000}
  nodeSelector: {kubernetes.io/hostname: %[4]s}
  containers:
  - name: probe
    image: "` + image + `"
    readinessProbe: {httpGet: {port: 8080}, periodSeconds: 1}
    volumeMounts: [{name: data, mountPath: /data}]
  volumes:
  - {name: data, persistentVolumeClaim: {claimName: %[1]s}}
`

// volumeSnapshot is a snapshot of a claim; its class is the default.
const volumeSnapshot = `
apiVersion: snapshot.storage.k8s.io/v1
kind: VolumeSnapshot
metadata: {name: %s}
spec: {source: {persistentVolumeClaimName: %s}}
`

func TestCSI(t *testing.T) {
	if os.Getenv("DEVCLUSTER_E2E") == "" {
		t.Skip("needs root and minutes: set DEVCLUSTER_E2E=1")
	}
	b := newBench(t)
	t.Cleanup(func() { _, _ = b.try(b.binary, "down") })
	for _, step := range []struct {
		name string
		run  func(b bench)
	}{
		{"up", bench.csiUp},
		{"load", bench.load},
		{"snapshot", bench.csiSnapshot},
		{"restore", bench.csiRestore},
		{"node stop and start", bench.csiNodeStop},
		{"kill everything", bench.csiKillAll},
		{"kill the driver's controller", bench.csiKillController},
		{"delete", bench.csiDelete},
		{"down", bench.csiDown},
	} {
		if !t.Run(step.name, func(t *testing.T) { step.run(bench{t, b.binary, b.kubectl, b.state}) }) {
			t.FailNow()
		}
	}
}

// apply applies a manifest.
func (b bench) apply(format string, args ...any) {
	b.Helper()
	file := filepath.Join(b.TempDir(), "manifest.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, format, args...), 0o600); err != nil {
		b.Fatal(err)
	}
	b.do(b.kubectl, "apply", "-f", file)
}

// reads checks what the file of a pod's volume has.
func (b bench) reads(pod, want string) {
	b.Helper()
	b.do(b.kubectl, "wait", "pod/"+pod, "--for=condition=Ready", "--timeout=120s")
	b.eventually(30*time.Second, func() error {
		content, err := b.try(b.kubectl, "exec", pod, "--", "/probe", "read", "/data/kept")
		if err != nil || content != want {
			return fmt.Errorf("the volume of pod %s has %q, not %q (%w)", pod, content, want, err)
		}
		return nil
	})
}

func (b bench) write(pod, content string) {
	b.Helper()
	b.do(b.kubectl, "exec", pod, "--", "/probe", "write", "/data/kept", content)
}

func (b bench) snapshot(name, claim string) {
	b.Helper()
	b.apply(volumeSnapshot, name, claim)
	b.do(b.kubectl, "wait", "volumesnapshot/"+name, "--for=jsonpath={.status.readyToUse}=true", "--timeout=60s")
}

func (b bench) csiUp() {
	b.do(b.binary, "up", "--csi")
	drivers := b.do(b.kubectl, "get", "csinodes", "-o",
		`jsonpath={range .items[*]}{.metadata.name} {.spec.drivers[*].name} {.spec.drivers[*].topologyKeys[*]}{"\n"}{end}`)
	const driver = " csi.devcluster.caretaker.dev csi.devcluster.caretaker.dev/node"
	if want := "node-1" + driver + "\nnode-2" + driver + "\nnode-3" + driver; drivers != want {
		b.Errorf("CSI drivers of nodes:\n%s\nwant:\n%s", drivers, want)
	}
	status := b.do(b.binary, "status")
	for _, program := range []string{"csi-controller", "csi-sidecars"} {
		if !strings.Contains(status, program) {
			b.Errorf("status does not tell of %s:\n%s", program, status)
		}
	}
}

func (b bench) csiSnapshot() {
	b.apply(volumePod, "one", "64Mi", "", "node-1")
	b.do(b.kubectl, "wait", "pod/one", "--for=condition=Ready", "--timeout=120s")
	b.write("one", "old")
	b.snapshot("before", "one")
	b.write("one", "new")
	if size := b.do(b.kubectl, "get", "volumesnapshot", "before", "-o", "jsonpath={.status.restoreSize}"); size != "64Mi" {
		b.Errorf("the snapshot of a volume of 64Mi has %s", size)
	}
}

// csiRestore makes a larger volume of the snapshot, on another node than that of the first.
func (b bench) csiRestore() {
	const source = ", dataSource: {apiGroup: snapshot.storage.k8s.io, kind: VolumeSnapshot, name: before}"
	b.apply(volumePod, "two", "128Mi", source, "node-2")
	b.reads("two", "old")
	b.reads("one", "new")
	if size := b.number(b.do(b.kubectl, "exec", "two", "--", "/probe", "size", "/data")); size < 100<<20 {
		b.Errorf("a volume of 128 MiB made of a smaller snapshot has %d bytes", size)
	}
	b.write("two", "newer")
}

func (b bench) csiNodeStop() {
	b.do(b.binary, "node", "stop", "node-1")
	b.do(b.binary, "node", "start", "node-1")
	b.reads("one", "new")
}

func (b bench) csiKillAll() {
	for _, pid := range b.ours() {
		_ = syscall.Kill(pid, syscall.SIGKILL) // A node's programs end with its first process.
	}
	b.eventually(10*time.Second, func() error {
		if left := b.ours(); len(left) > 0 {
			return fmt.Errorf("processes %v are left", left)
		}
		return nil
	})
	b.do(b.binary, "up")
	b.reads("one", "new")
	b.reads("two", "newer")
	b.snapshot("after", "two")
}

// csiKillController: Kubernetes' own programs beside the driver's do not outlive their connection to it.
func (b bench) csiKillController() {
	process, err := os.ReadFile(filepath.Join(b.state, "run", "csi-controller"))
	if err != nil {
		b.Fatal(err)
	}
	pid, _, _ := strings.Cut(string(process), " ")
	if err := syscall.Kill(b.number(pid), syscall.SIGKILL); err != nil {
		b.Fatal(err)
	}
	b.do(b.binary, "up")
	b.snapshot("again", "two")
}

func (b bench) csiDelete() {
	b.do(b.kubectl, "delete", "pod/one", "pod/two", "pvc/one", "pvc/two", "--timeout=60s")
	b.do(b.kubectl, "delete", "volumesnapshot/before", "volumesnapshot/after", "volumesnapshot/again", "--timeout=60s")
	b.eventually(60*time.Second, func() error {
		if left := b.do(b.kubectl, "get", "pv,volumesnapshotcontents", "-o", "name"); left != "" {
			return fmt.Errorf("volumes or snapshots are left: %s", left)
		}
		return nil
	})
	for _, pattern := range []string{"nodes/*/csi/*", "snapshots/*"} {
		left, err := filepath.Glob(filepath.Join(b.state, pattern))
		if err != nil || len(left) > 0 {
			b.Errorf("files of what was deleted are left: %v %v", left, err)
		}
	}
}

func (b bench) csiDown() {
	b.apply(volumePod, "three", "64Mi", "", "node-3") // A cluster in use is to go.
	b.do(b.kubectl, "wait", "pod/three", "--for=condition=Ready", "--timeout=120s")
	address := b.do(b.kubectl, "get", "pod", "three", "-o", "jsonpath={.status.podIP}")
	link := regexp.MustCompile(`devcluster\d+`).FindString(b.do("ip", "route", "get", address))
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
}
