package decide

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/cluster/build"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
)

const (
	// fillingPercent of a volume in use is told; until it is back at roomyPercent, so that it does not go back and forth.
	fillingPercent, roomyPercent = 85, 80
	// growQuarter of its size, but at least growLeast, is what a volume gets more.
	growQuarter = 4
	growLeast   = int64(1) << 30
	// growUnit that sizes are rounded up to.
	growUnit = int64(1) << 20
	// defaultGrowPercent of a volume in use lets it grow.
	defaultGrowPercent = 80
)

// disk of a member's volume; nil if it is not known.
func (p *planner) disk(name string) *instanceapi.Disk {
	if report := p.states[name].report; report != nil {
		return report.Disk
	}

	return nil
}

func (p *planner) isShared(disk *instanceapi.Disk) bool {
	size := build.StorageSize(p.Cluster)

	return disk.IsShared(size.Value())
}

// isFull says whether a member refuses writes, for want of room.
func (p *planner) isFull(name string) bool {
	disk := p.disk(name)

	return disk != nil && disk.ReadOnly
}

func (p *planner) fullMessage(name string) string {
	size := build.StorageSize(p.Cluster)
	remedy := fmt.Sprintf("Make spec.storage.size larger than %s", size.String())

	if p.isShared(p.disk(name)) {
		remedy = "Make room on the filesystem under it, which others use too"
	}

	return fmt.Sprintf("%s refuses writes, since its volume is nearly full; reads go on. %s, and writes resume by themselves. "+
		"To delete something first: SET default_transaction_read_only = off", name, remedy)
}

// diskSpace says whether every volume has room. It tells limits that were passed, not numbers that move.
func (p *planner) diskSpace() Feature {
	feature := Feature{Type: v1.ConditionDiskSpace}
	last := meta.FindStatusCondition(p.Cluster.Status.Conditions, v1.ConditionDiskSpace)

	limit := fillingPercent
	if last != nil && last.Status == metav1.ConditionFalse {
		limit = roomyPercent
	}

	var known bool

	var full, filling []string

	for _, name := range p.members {
		disk := p.disk(name)
		known = known || disk != nil

		switch {
		case disk == nil:
		case disk.ReadOnly:
			full = append(full, name)
		case disk.UsedPercent() >= limit && !p.isShared(disk):
			filling = append(filling, name)
		}
	}

	size := build.StorageSize(p.Cluster)

	switch {
	case len(full) > 0:
		feature.Reason, feature.Message = v1.ReasonVolumeFull, p.fullMessage(full[0])
	case len(filling) > 0:
		feature.Reason = v1.ReasonVolumeFilling
		feature.Message = fmt.Sprintf("the volume of %s (%s) is nearly full: make spec.storage.size larger, or let it grow by itself with "+
			"spec.storage.autoGrow", strings.Join(filling, ", "), size.String())
	case known:
		feature.True, feature.Reason, feature.Message = true, v1.ReasonEnoughSpace, "every volume has room"
	case last != nil: // nobody answers: as it was
		feature.True, feature.Reason, feature.Message = last.Status == metav1.ConditionTrue, last.Reason, last.Message
	}

	return feature
}

// storageSize is what the volumes are to grow to by themselves. One step at a time: nothing grows while a volume, or the
// filesystem on it, has not caught up.
func (p *planner) storageSize() string {
	last, auto := p.Cluster.Status.StorageSize, p.Cluster.Spec.Storage.AutoGrow
	if auto == nil || p.expanding() != "" {
		return last
	}

	percent := defaultGrowPercent
	if auto.AtUsedPercent != nil {
		percent = int(*auto.AtUsedPercent)
	}

	limit, err := resource.ParseQuantity(auto.Limit)
	if err != nil {
		return last // the CRD demands a quantity
	}

	current := build.StorageSize(p.Cluster)
	needed := false

	for _, name := range p.members {
		disk := p.disk(name)
		if disk == nil || p.isShared(disk) {
			continue
		}

		if disk.TotalBytes < current.Value()-current.Value()/growQuarter/2 {
			return last
		}

		needed = needed || disk.ReadOnly || disk.UsedPercent() >= percent
	}

	next := min(limit.Value(), roundUp(current.Value()+max(current.Value()/growQuarter, growLeast)))
	if !needed || next <= current.Value() {
		return last
	}

	return resource.NewQuantity(next, resource.BinarySI).String()
}

func roundUp(bytes int64) int64 { return (bytes + growUnit - 1) / growUnit * growUnit }
