package driver

import (
	"context"
	"os"
	"path/filepath"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// node mounts volumes.
type node struct {
	csi.UnimplementedNodeServer

	// name is the node's.
	name string
	// images has the volumes' files, mounts is where they are mounted: not where the kubelet says, so that the controller
	// finds them.
	images, mounts string
}

func (n *node) NodeGetInfo(context.Context, *csi.NodeGetInfoRequest) (*csi.NodeGetInfoResponse, error) {
	return &csi.NodeGetInfoResponse{NodeId: n.name, AccessibleTopology: on(n.name)}, nil
}

func on(node string) *csi.Topology {
	return &csi.Topology{Segments: map[string]string{topologyKey: node}}
}

func (*node) NodeGetCapabilities(
	context.Context, *csi.NodeGetCapabilitiesRequest,
) (*csi.NodeGetCapabilitiesResponse, error) {
	return &csi.NodeGetCapabilitiesResponse{Capabilities: []*csi.NodeServiceCapability{{
		Type: &csi.NodeServiceCapability_Rpc{Rpc: &csi.NodeServiceCapability_RPC{
			Type: csi.NodeServiceCapability_RPC_STAGE_UNSTAGE_VOLUME,
		}},
	}}}, nil
}

// NodeStageVolume mounts a volume.
func (n *node) NodeStageVolume(
	_ context.Context, request *csi.NodeStageVolumeRequest,
) (*csi.NodeStageVolumeResponse, error) {
	if err := usable(request.GetVolumeId(), request.GetStagingTargetPath(), request.GetVolumeCapability()); err != nil {
		return nil, err
	}
	image, err := n.find(request.GetVolumeId())
	if err != nil {
		return nil, err
	}
	if err := mountImage(image, filepath.Join(n.mounts, request.GetVolumeId())); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	return &csi.NodeStageVolumeResponse{}, nil
}

// NodeUnstageVolume unmounts a volume.
func (n *node) NodeUnstageVolume(
	_ context.Context, request *csi.NodeUnstageVolumeRequest,
) (*csi.NodeUnstageVolumeResponse, error) {
	if err := given(request.GetVolumeId(), request.GetStagingTargetPath()); err != nil {
		return nil, err
	}
	if validName.MatchString(request.GetVolumeId()) {
		if err := unmount(filepath.Join(n.mounts, request.GetVolumeId())); err != nil {
			return nil, status.Error(codes.Internal, err.Error())
		}
	}
	return &csi.NodeUnstageVolumeResponse{}, nil
}

// NodePublishVolume shows a mounted volume to a pod.
func (n *node) NodePublishVolume(
	_ context.Context, request *csi.NodePublishVolumeRequest,
) (*csi.NodePublishVolumeResponse, error) {
	target := request.GetTargetPath()
	if err := usable(request.GetVolumeId(), target, request.GetVolumeCapability()); err != nil {
		return nil, err
	}
	if _, err := n.find(request.GetVolumeId()); err != nil {
		return nil, err
	}
	source := filepath.Join(n.mounts, request.GetVolumeId())
	if !mounted(source) {
		return nil, status.Errorf(codes.FailedPrecondition, "volume %s is not staged", request.GetVolumeId())
	}
	if err := bind(source, target, request.GetReadonly()); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	return &csi.NodePublishVolumeResponse{}, nil
}

func bind(source, target string, readonly bool) error { //nolint:revive // It is the kernel's flag.
	if err := os.MkdirAll(target, 0o750); err != nil {
		return err
	}
	if !mounted(target) {
		if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
			return err
		}
	}
	if !readonly {
		return nil
	}
	return unix.Mount("", target, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, "")
}

// NodeUnpublishVolume takes a volume from a pod.
func (*node) NodeUnpublishVolume(
	_ context.Context, request *csi.NodeUnpublishVolumeRequest,
) (*csi.NodeUnpublishVolumeResponse, error) {
	if err := given(request.GetVolumeId(), request.GetTargetPath()); err != nil {
		return nil, err
	}
	if err := unmount(request.GetTargetPath()); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	return &csi.NodeUnpublishVolumeResponse{}, nil
}

// find finds a volume's file.
func (n *node) find(volume string) (image string, err error) {
	image = filepath.Join(n.images, volume+imageSuffix)
	if _, err := os.Stat(image); err != nil || !validName.MatchString(volume) {
		return "", status.Errorf(codes.NotFound, "volume %s is not on %s", volume, n.name)
	}
	return image, nil
}

// given says what is missing of a request.
func given(volume, path string) error {
	switch {
	case volume == "":
		return status.Error(codes.InvalidArgument, "volume_id is missing")
	case path == "":
		return status.Error(codes.InvalidArgument, "the path is missing")
	}
	return nil
}

func usable(volume, path string, capability *csi.VolumeCapability) error {
	if err := given(volume, path); err != nil {
		return err
	}
	return supported(capability)
}
