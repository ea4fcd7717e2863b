// Package driver is a CSI driver whose volumes are file systems in files on a node's disk, and whose snapshots are copies
// of such files. Since the nodes' disks are folders on one machine, the controller reaches all of them, whether a node is
// on or off.
package driver
