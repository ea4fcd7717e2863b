package driver

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// snapshot is a snapshot that there is.
type snapshot struct {
	id, volume, image string
	size              int64
	taken             time.Time
}

func (s snapshot) proto() *csi.Snapshot {
	return &csi.Snapshot{
		SnapshotId: s.id, SourceVolumeId: s.volume, SizeBytes: s.size, CreationTime: timestamppb.New(s.taken), ReadyToUse: true,
	}
}

// list finds snapshots, all of them or those of an ID or a volume, in the order of their IDs.
func (c *controller) list(id, volume string) (found []snapshot, err error) {
	images, err := filepath.Glob(filepath.Join(c.snapshots, "*", "*"+imageSuffix))
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	for _, image := range images {
		info, err := os.Stat(image)
		if err != nil {
			return nil, status.Error(codes.Internal, err.Error())
		}
		one := snapshot{
			filepath.Base(filepath.Dir(image)), strings.TrimSuffix(filepath.Base(image), imageSuffix), image,
			info.Size(), info.ModTime(),
		}
		if (id == "" || id == one.id) && (volume == "" || volume == one.volume) {
			found = append(found, one)
		}
	}
	return found, nil
}

func (c *controller) findSnapshot(id string) (snapshot, error) {
	if id == "" {
		return snapshot{}, status.Error(codes.InvalidArgument, "the source of a volume can only be a snapshot")
	}
	found, err := c.list(id, "")
	if err != nil {
		return snapshot{}, err
	}
	if len(found) == 0 {
		return snapshot{}, status.Errorf(codes.NotFound, "there is no snapshot %s", id)
	}
	return found[0], nil
}

// CreateSnapshot copies a volume as it is at this moment.
func (c *controller) CreateSnapshot(
	_ context.Context, request *csi.CreateSnapshotRequest,
) (*csi.CreateSnapshotResponse, error) {
	if err := checkName(request.GetName()); err != nil {
		return nil, err
	}
	if request.GetSourceVolumeId() == "" {
		return nil, status.Error(codes.InvalidArgument, "source_volume_id is missing")
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	found, err := c.findSnapshot(request.GetName())
	switch {
	case status.Code(err) == codes.NotFound:
		found, err = c.take(request.GetName(), request.GetSourceVolumeId())
	case err == nil && found.volume != request.GetSourceVolumeId():
		err = status.Errorf(codes.AlreadyExists, "snapshot %s is of volume %s", found.id, found.volume)
	}
	if err != nil {
		return nil, err
	}
	return &csi.CreateSnapshotResponse{Snapshot: found.proto()}, nil
}

func (c *controller) take(id, volume string) (snapshot, error) {
	source, err := c.find(volume)
	if err != nil {
		return snapshot{}, err
	}
	folder := filepath.Join(c.snapshots, id)
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return snapshot{}, status.Error(codes.Internal, err.Error())
	}
	err = copyImage(source.image, filepath.Join(folder, filepath.Base(source.image)), source.size, c.mounted(source))
	if err != nil {
		return snapshot{}, status.Error(codes.Internal, err.Error())
	}
	return c.findSnapshot(id)
}

// DeleteSnapshot removes a snapshot.
func (c *controller) DeleteSnapshot(
	_ context.Context, request *csi.DeleteSnapshotRequest,
) (*csi.DeleteSnapshotResponse, error) {
	id := request.GetSnapshotId()
	if id == "" {
		return nil, status.Error(codes.InvalidArgument, "snapshot_id is missing")
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if validName.MatchString(id) {
		if err := os.RemoveAll(filepath.Join(c.snapshots, id)); err != nil {
			return nil, status.Error(codes.Internal, err.Error())
		}
	}
	return &csi.DeleteSnapshotResponse{}, nil
}

// ListSnapshots tells of snapshots; a token is the number of those told before.
func (c *controller) ListSnapshots(
	_ context.Context, request *csi.ListSnapshotsRequest,
) (*csi.ListSnapshotsResponse, error) {
	found, err := c.list(request.GetSnapshotId(), request.GetSourceVolumeId())
	if err != nil {
		return nil, err
	}
	first := 0
	if token := request.GetStartingToken(); token != "" {
		if first, err = strconv.Atoi(token); err != nil || first < 0 || first > len(found) {
			return nil, status.Errorf(codes.Aborted, "starting_token %q is not from here", token)
		}
	}
	response := &csi.ListSnapshotsResponse{}
	last := len(found)
	if limit := int(request.GetMaxEntries()); limit > 0 && first+limit < last {
		last = first + limit
		response.NextToken = strconv.Itoa(last)
	}
	for _, one := range found[first:last] {
		response.Entries = append(response.Entries, &csi.ListSnapshotsResponse_Entry{Snapshot: one.proto()})
	}
	return response, nil
}
