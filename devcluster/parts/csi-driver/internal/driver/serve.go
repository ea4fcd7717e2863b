package driver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

const (
	// Name is what storage classes call this driver.
	Name = "csi.devcluster.caretaker.dev"
	// topologyKey is the label of nodes that says where a volume is.
	topologyKey = Name + "/node"

	// pluginSocket and registrationSocket are where the kubelet looks for drivers.
	pluginSocket       = "/var/lib/kubelet/plugins/" + Name + "/csi.sock"
	registrationSocket = "/var/lib/kubelet/plugins_registry/" + Name + "-reg.sock"

	// nodeImages and nodeMounts are the folders of volumes' files and of the mounted volumes, as the node sees them. The
	// first is on the node's disk, the second is gone when the node is off.
	nodeImages = "/run/devcluster/node/" + imagesFolder
	nodeMounts = "/run/csi"
)

// RunController makes and removes volumes and snapshots of the cluster in this folder.
func RunController(ctx context.Context, state, socket string) error {
	controller := newController(state, func(node string) string { return mountsOf(state, node) })
	return serve(ctx, func(server *grpc.Server) {
		csi.RegisterIdentityServer(server, identity{})
		csi.RegisterControllerServer(server, controller)
	}, socket)
}

// RunNode mounts volumes on this node, and makes the driver known to its kubelet.
func RunNode(ctx context.Context, name string) error {
	return serve(ctx, func(server *grpc.Server) {
		csi.RegisterIdentityServer(server, identity{})
		csi.RegisterNodeServer(server, &node{name: name, images: nodeImages, mounts: nodeMounts})
		registration.RegisterRegistrationServer(server, registrar{})
	}, pluginSocket, registrationSocket)
}

// mountsOf is the folder of a node's mounted volumes, seen from the machine. It is not there if the node is off.
func mountsOf(state, node string) string {
	content, err := os.ReadFile(filepath.Join(state, "run", node))
	if err != nil {
		return ""
	}
	var pid int
	if _, err := fmt.Sscan(string(content), &pid); err != nil {
		return ""
	}
	return fmt.Sprintf("/proc/%d/root%s", pid, nodeMounts)
}

// serve answers on all sockets until the context is done.
func serve(ctx context.Context, register func(*grpc.Server), sockets ...string) error {
	server := grpc.NewServer(grpc.UnaryInterceptor(logged))
	register(server)
	group, ctx := errgroup.WithContext(ctx)
	for _, socket := range sockets {
		listener, err := listen(ctx, socket)
		if err != nil {
			return err
		}
		group.Go(func() error { return server.Serve(listener) })
	}
	context.AfterFunc(ctx, server.Stop)
	if err := group.Wait(); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serving: %w", err)
	}
	return nil
}

func listen(ctx context.Context, socket string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(socket), 0o750); err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	// A driver that was killed leaves its socket behind.
	if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("socket: %w", err)
	}
	var configuration net.ListenConfig
	listener, err := configuration.Listen(ctx, "unix", socket)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	return listener, nil
}

// logged prints calls that failed.
func logged(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	response, err := handle(ctx, request)
	if err != nil {
		_, _ = fmt.Fprintf(os.Stderr, "%s: %v\n", info.FullMethod, err)
	}
	return response, err
}

// identity tells what this driver is.
type identity struct {
	csi.UnimplementedIdentityServer
}

func (identity) GetPluginInfo(context.Context, *csi.GetPluginInfoRequest) (*csi.GetPluginInfoResponse, error) {
	return &csi.GetPluginInfoResponse{Name: Name, VendorVersion: "1"}, nil
}

func (identity) GetPluginCapabilities(
	context.Context, *csi.GetPluginCapabilitiesRequest,
) (*csi.GetPluginCapabilitiesResponse, error) {
	response := &csi.GetPluginCapabilitiesResponse{}
	for _, service := range []csi.PluginCapability_Service_Type{
		csi.PluginCapability_Service_CONTROLLER_SERVICE, csi.PluginCapability_Service_VOLUME_ACCESSIBILITY_CONSTRAINTS,
	} {
		response.Capabilities = append(response.Capabilities, &csi.PluginCapability{
			Type: &csi.PluginCapability_Service_{Service: &csi.PluginCapability_Service{Type: service}},
		})
	}
	return response, nil
}

func (identity) Probe(context.Context, *csi.ProbeRequest) (*csi.ProbeResponse, error) {
	return &csi.ProbeResponse{}, nil
}

// registrar tells the kubelet where the driver is.
type registrar struct {
	registration.UnimplementedRegistrationServer
}

func (registrar) GetInfo(context.Context, *registration.InfoRequest) (*registration.PluginInfo, error) {
	return &registration.PluginInfo{
		Type: registration.CSIPlugin, Name: Name, Endpoint: pluginSocket, SupportedVersions: []string{"1.0.0"},
	}, nil
}

func (registrar) NotifyRegistrationStatus(
	_ context.Context, result *registration.RegistrationStatus,
) (*registration.RegistrationStatusResponse, error) {
	if !result.GetPluginRegistered() {
		_, _ = fmt.Fprintln(os.Stderr, "the kubelet does not take the driver:", result.GetError())
	}
	return &registration.RegistrationStatusResponse{}, nil
}
