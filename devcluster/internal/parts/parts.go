package parts

// Part is one Go module under parts/ and the programs built from it.
type Part struct {
	// Name is the part's folder.
	Name string
	// Version is what the module builds, for the eye; the go.mod decides.
	Version string
	// About and Expected tell the user what is being built and how long it takes.
	About, Expected string
	// Packages are built; "tool" means all of the go.mod's tools.
	Packages []string
	// Output is the name of the program if it is not its package's.
	Output string
	// Flags go to "go build".
	Flags []string
	// Cgo says that the part needs the C compiler.
	Cgo bool
	// Links are further names of the part's program Target.
	Links  []string
	Target string
}

// Names of the parts.
const (
	Kubernetes = "kubernetes"
	Etcd       = "etcd"
	Containerd = "containerd"
	Runc       = "runc"
	CNI        = "cni"
	CoreDNS    = "coredns"
	Pause      = "pause"
	CSI        = "csi"
	CSIDriver  = "csi-driver"
)

const kubernetesVersion = "v1.36.3"

// ForControlPlane are the parts that an API server needs.
func ForControlPlane() []Part {
	const version = "-X k8s.io/component-base/version."
	return []Part{
		{
			Name: Etcd, Version: "v3.7.3", About: "etcd", Expected: "about 30 s, once",
			Packages: []string{"tool"}, Output: "etcd", Flags: []string{"-ldflags=-s -w"},
		},
		{
			Name: Kubernetes, Version: kubernetesVersion,
			About: "Kubernetes", Expected: "about 5 min on 2 cores, once",
			Packages: []string{"./hyper", "./kubectl"},
			Flags: []string{"-ldflags=-s -w " + version + "gitVersion=" + kubernetesVersion + " " +
				version + "gitMajor=1 " + version + "gitMinor=36 " + version + "gitTreeState=clean"},
			Target: "hyper",
			Links:  []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet"},
		},
	}
}

// ForNodes are the further parts that a whole cluster needs.
func ForNodes() []Part {
	return []Part{
		{
			Name: Containerd, Version: "v2.4.2", About: "containerd", Expected: "about 75 s, once",
			Packages: []string{"tool"},
			Flags:    []string{"-ldflags=-s -w -X github.com/containerd/containerd/v2/version.Version=v2.4.2"},
		},
		{
			Name: Runc, Version: "v1.5.2", About: "runc", Expected: "about 10 s, once",
			Packages: []string{"tool"}, Flags: []string{"-tags=seccomp", "-ldflags=-s -w"}, Cgo: true,
		},
		{
			Name: CNI, Version: "v1.9.1", About: "network plugins", Expected: "about 10 s, once",
			Packages: []string{"tool"}, Flags: []string{"-ldflags=-s -w"},
		},
		{
			Name: CoreDNS, Version: "v1.15.0", About: "CoreDNS", Expected: "about 30 s, once",
			Packages: []string{"."}, Flags: []string{"-ldflags=-s -w"},
		},
		{
			Name: Pause, Version: "v1", About: "pause", Expected: "a few seconds, once",
			Packages: []string{"."}, Flags: []string{"-ldflags=-s -w"},
		},
	}
}

// ForCSI are the further parts of a cluster with snapshots of volumes.
func ForCSI() []Part {
	return []Part{
		{
			Name: CSI, Version: "v8.7.0", About: "external-provisioner and external-snapshotter", Expected: "a few minutes, once",
			Packages: []string{"tool"}, Flags: []string{"-ldflags=-s -w"},
		},
		{
			Name: CSIDriver, Version: "v1", About: "the CSI driver", Expected: "about 20 s, once",
			Packages: []string{"."}, Flags: []string{"-ldflags=-s -w"},
		},
	}
}
