package layout

import (
	"fmt"
	"net/netip"
)

// MaxSlots is how many clusters fit on one machine, and MaxNodes how many nodes in
// one cluster: each slot has sixteen /24 networks for pods, one of them unused.
const (
	MaxSlots = 16
	MaxNodes = 9
)

// Network holds the names and addresses of the cluster in one slot.
type Network struct {
	Slot int
}

// Name is the name of the cluster on this machine: of its bridge, its cgroup and
// its nftables tables.
func (n Network) Name() string { return fmt.Sprintf("devcluster%d", n.Slot) }

// Gateway is the control plane's address, which the bridge carries.
func (n Network) Gateway() netip.Addr { return n.node(1) }

// GatewayMAC is the bridge's hardware address, which stays the same whatever is plugged in.
func (n Network) GatewayMAC() string { return fmt.Sprintf("02:ca:4e:00:00:%02x", n.Slot) }

// NodeSubnet is the network that the nodes and the control plane share.
func (n Network) NodeSubnet() netip.Prefix {
	return netip.PrefixFrom(n.node(0), 24)
}

// NodeAddress is the address of node number i, counted from 1.
func (n Network) NodeAddress(i int) netip.Addr { return n.node(10 + i) }

// PodSubnet holds the addresses of all the cluster's pods.
func (n Network) PodSubnet() netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 244, n.sixteenth(0), 0}), 20)
}

// NodePodSubnet holds the addresses of the pods on node number i.
func (n Network) NodePodSubnet(i int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 244, n.sixteenth(i), 0}), 24)
}

// ServiceSubnet holds the addresses of Services.
func (n Network) ServiceSubnet() netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 96, n.sixteenth(0), 0}), 20)
}

// APIService is the address under which pods reach the API server.
func (n Network) APIService() netip.Addr {
	return netip.AddrFrom4([4]byte{10, 96, n.sixteenth(0), 1})
}

// DNSService is the address under which pods reach CoreDNS.
func (n Network) DNSService() netip.Addr {
	return netip.AddrFrom4([4]byte{10, 96, n.sixteenth(0), 10})
}

// Link is the host's end of the cable to node number i.
func (n Network) Link(i int) string { return fmt.Sprintf("dc%d-%s", n.Slot, NodeName(i)) }

// NodeMAC is the hardware address of node number i. It is fixed, or a node that comes
// back would be unreachable until its peers' ARP entries expire.
func (n Network) NodeMAC(i int) string { return fmt.Sprintf("02:dc:00:00:%02x:%02x", n.Slot, i) }

// NodeName is the name of node number i, counted from 1.
func NodeName(i int) string { return fmt.Sprintf("node-%d", i) }

func (n Network) node(host int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 98, byte(n.Slot), byte(host)}) //nolint:gosec // Both are far below 256.
}

func (n Network) sixteenth(i int) byte {
	return byte(n.Slot*16 + i) //nolint:gosec // Slots and nodes are below 16.
}
