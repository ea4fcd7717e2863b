package layout

import (
	"net/netip"
	"testing"
)

func TestSlotsDoNotOverlap(t *testing.T) {
	type owned struct {
		slot   int
		prefix netip.Prefix
	}
	var all []owned
	names := map[string]bool{}
	for slot := range MaxSlots {
		n := Network{Slot: slot}
		for _, prefix := range []netip.Prefix{n.NodeSubnet(), n.PodSubnet(), n.ServiceSubnet()} {
			for _, other := range all {
				if other.prefix.Overlaps(prefix) {
					t.Errorf("slot %d has %s, which overlaps %s of slot %d", slot, prefix, other.prefix, other.slot)
				}
			}
			all = append(all, owned{slot, prefix})
		}
		for i := 1; i <= MaxNodes; i++ {
			for _, name := range []string{n.Link(i), n.NodeMAC(i), n.NodeAddress(i).String(), n.NodePodSubnet(i).String()} {
				if names[name] {
					t.Errorf("%s of slot %d, node %d is not unique", name, slot, i)
				}
				names[name] = true
			}
		}
	}
}

func TestAddressesAreInTheirNetworks(t *testing.T) {
	const longestLinkName = 15
	for slot := range MaxSlots {
		n := Network{Slot: slot}
		if !n.NodeSubnet().Contains(n.Gateway()) {
			t.Errorf("slot %d: gateway %s is not in %s", slot, n.Gateway(), n.NodeSubnet())
		}
		for _, service := range []netip.Addr{n.APIService(), n.DNSService()} {
			if !n.ServiceSubnet().Contains(service) {
				t.Errorf("slot %d: service %s is not in %s", slot, service, n.ServiceSubnet())
			}
		}
		for i := 1; i <= MaxNodes; i++ {
			if !n.NodeSubnet().Contains(n.NodeAddress(i)) || n.NodeAddress(i) == n.Gateway() {
				t.Errorf("slot %d: node %d has address %s", slot, i, n.NodeAddress(i))
			}
			if subnet := n.NodePodSubnet(i); !n.PodSubnet().Contains(subnet.Addr()) || subnet.Bits() != 24 {
				t.Errorf("slot %d: node %d has pods in %s, outside %s", slot, i, subnet, n.PodSubnet())
			}
			if len(n.Link(i)) > longestLinkName {
				t.Errorf("the kernel refuses the link name %s", n.Link(i))
			}
		}
	}
}
