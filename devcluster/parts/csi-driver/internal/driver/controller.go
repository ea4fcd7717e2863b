package driver

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// controller makes and removes volumes and snapshots. A volume is nodes/NODE/csi/VOLUME.img, a snapshot is
// snapshots/SNAPSHOT/VOLUME.img: what there is, is known from the files alone.
type controller struct {
	csi.UnimplementedControllerServer

	nodes, snapshots string
	// mounts is where a node has its volumes mounted, seen from here.
	mounts func(node string) string
	// mutex lets one request after the other work on files: they are repeated when they take long.
	mutex sync.Mutex
}

func newController(state string, mounts func(node string) string) *controller {
	return &controller{
		nodes: filepath.Join(state, "nodes"), snapshots: filepath.Join(state, "snapshots"), mounts: mounts,
	}
}

func (*controller) ControllerGetCapabilities(
	context.Context, *csi.ControllerGetCapabilitiesRequest,
) (*csi.ControllerGetCapabilitiesResponse, error) {
	response := &csi.ControllerGetCapabilitiesResponse{}
	for _, capability := range []csi.ControllerServiceCapability_RPC_Type{
		csi.ControllerServiceCapability_RPC_CREATE_DELETE_VOLUME,
		csi.ControllerServiceCapability_RPC_CREATE_DELETE_SNAPSHOT,
		csi.ControllerServiceCapability_RPC_LIST_SNAPSHOTS,
	} {
		response.Capabilities = append(response.Capabilities, &csi.ControllerServiceCapability{
			Type: &csi.ControllerServiceCapability_Rpc{Rpc: &csi.ControllerServiceCapability_RPC{Type: capability}},
		})
	}
	return response, nil
}

// volume is a volume that there is.
type volume struct {
	id, node, image string
	size            int64
}

// find finds a volume on whatever node it is.
func (c *controller) find(id string) (found volume, err error) {
	if validName.MatchString(id) {
		images, err := filepath.Glob(filepath.Join(c.nodes, "*", imagesFolder, id+imageSuffix))
		if err != nil {
			return volume{}, status.Error(codes.Internal, err.Error())
		}
		if len(images) > 0 {
			info, err := os.Stat(images[0])
			if err != nil {
				return volume{}, status.Error(codes.Internal, err.Error())
			}
			return volume{id, filepath.Base(filepath.Dir(filepath.Dir(images[0]))), images[0], info.Size()}, nil
		}
	}
	return volume{}, status.Errorf(codes.NotFound, "there is no volume %s", id)
}

// mounted is the folder at which a volume is mounted, or nothing.
func (c *controller) mounted(found volume) string {
	if folder := filepath.Join(c.mounts(found.node), found.id); mounted(folder) {
		return folder
	}
	return ""
}

// CreateVolume makes an empty volume, or one with what a snapshot has.
func (c *controller) CreateVolume(
	_ context.Context, request *csi.CreateVolumeRequest,
) (*csi.CreateVolumeResponse, error) {
	if err := checkName(request.GetName()); err != nil {
		return nil, err
	}
	if err := supported(request.GetVolumeCapabilities()...); err != nil {
		return nil, err
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	limits := request.GetCapacityRange()
	found, err := c.find(request.GetName())
	switch {
	case status.Code(err) == codes.NotFound:
		found, err = c.create(request)
	case err == nil && !fits(found.size, limits):
		err = status.Errorf(codes.AlreadyExists, "volume %s has another size: %d bytes", found.id, found.size)
	}
	if err != nil {
		return nil, err
	}
	return &csi.CreateVolumeResponse{Volume: &csi.Volume{
		VolumeId: found.id, CapacityBytes: found.size, ContentSource: request.GetVolumeContentSource(),
		AccessibleTopology: []*csi.Topology{on(found.node)},
	}}, nil
}

func (c *controller) create(request *csi.CreateVolumeRequest) (volume, error) {
	var source snapshot
	if request.GetVolumeContentSource() != nil {
		var err error
		if source, err = c.findSnapshot(request.GetVolumeContentSource().GetSnapshot().GetSnapshotId()); err != nil {
			return volume{}, err
		}
	}
	size := max(roundUp(request.GetCapacityRange().GetRequiredBytes()), smallest, source.size)
	if !fits(size, request.GetCapacityRange()) {
		return volume{}, status.Errorf(codes.OutOfRange, "the volume needs %d bytes", size)
	}
	node, err := c.choose(request.GetAccessibilityRequirements())
	if err != nil {
		return volume{}, err
	}
	folder := filepath.Join(c.nodes, node, imagesFolder)
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return volume{}, status.Error(codes.Internal, err.Error())
	}
	image := filepath.Join(folder, request.GetName()+imageSuffix)
	if source.image == "" {
		err = makeImage(image, size)
	} else {
		err = copyImage(source.image, image, size, "")
	}
	if err != nil {
		return volume{}, status.Error(codes.Internal, err.Error())
	}
	return volume{request.GetName(), node, image, size}, nil
}

// choose is the node on which a volume is to be: the one that is preferred, or any.
func (c *controller) choose(wanted *csi.TopologyRequirement) (string, error) {
	folders, err := filepath.Glob(filepath.Join(c.nodes, "*"))
	if err != nil || len(folders) == 0 {
		return "", status.Errorf(codes.Internal, "no nodes in %s", c.nodes)
	}
	choices := slices.Concat(wanted.GetPreferred(), wanted.GetRequisite())
	if len(choices) == 0 {
		return filepath.Base(folders[0]), nil
	}
	for _, choice := range choices {
		node := choice.GetSegments()[topologyKey]
		if slices.Contains(folders, filepath.Join(c.nodes, node)) {
			return node, nil
		}
	}
	return "", status.Errorf(codes.ResourceExhausted, "there is none of the nodes %v", choices)
}

// DeleteVolume removes a volume.
func (c *controller) DeleteVolume(
	_ context.Context, request *csi.DeleteVolumeRequest,
) (*csi.DeleteVolumeResponse, error) {
	if request.GetVolumeId() == "" {
		return nil, status.Error(codes.InvalidArgument, "volume_id is missing")
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	found, err := c.find(request.GetVolumeId())
	if status.Code(err) == codes.NotFound {
		return &csi.DeleteVolumeResponse{}, nil
	}
	if err != nil {
		return nil, err
	}
	if c.mounted(found) != "" {
		return nil, status.Errorf(codes.FailedPrecondition, "volume %s is in use on %s", found.id, found.node)
	}
	if err := os.Remove(found.image); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	return &csi.DeleteVolumeResponse{}, nil
}

// ValidateVolumeCapabilities says whether a volume can be used in such a way.
func (c *controller) ValidateVolumeCapabilities(
	_ context.Context, request *csi.ValidateVolumeCapabilitiesRequest,
) (*csi.ValidateVolumeCapabilitiesResponse, error) {
	if request.GetVolumeId() == "" || len(request.GetVolumeCapabilities()) == 0 {
		return nil, status.Error(codes.InvalidArgument, "volume_id or volume_capabilities is missing")
	}
	if _, err := c.find(request.GetVolumeId()); err != nil {
		return nil, err
	}
	if err := supported(request.GetVolumeCapabilities()...); err != nil {
		return &csi.ValidateVolumeCapabilitiesResponse{Message: status.Convert(err).Message()}, nil
	}
	return &csi.ValidateVolumeCapabilitiesResponse{
		Confirmed: &csi.ValidateVolumeCapabilitiesResponse_Confirmed{
			VolumeCapabilities: request.GetVolumeCapabilities(),
		},
	}, nil
}

func checkName(name string) error {
	if !validName.MatchString(name) {
		return status.Errorf(codes.InvalidArgument, "name %q is not of the form %s", name, validName)
	}
	return nil
}

// supported says what of the capabilities a volume cannot have: it is a file system on one node.
func supported(capabilities ...*csi.VolumeCapability) error {
	if len(capabilities) == 0 {
		return status.Error(codes.InvalidArgument, "volume_capabilities are missing")
	}
	for _, capability := range capabilities {
		mode := capability.GetAccessMode().GetMode().String()
		switch {
		case capability.GetMount() == nil:
			return status.Error(codes.InvalidArgument, "volumes can be mounted, and nothing else")
		case !strings.HasPrefix(mode, "SINGLE_NODE_"):
			return status.Errorf(codes.InvalidArgument, "volumes are on one node: they cannot be %s", mode)
		}
	}
	return nil
}

func roundUp(size int64) int64 { return (size + unit - 1) / unit * unit }

func fits(size int64, limits *csi.CapacityRange) bool {
	return size >= limits.GetRequiredBytes() && (limits.GetLimitBytes() == 0 || size <= limits.GetLimitBytes())
}
