package host

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/caretaker-dev/caretaker/devcluster/internal/layout"
)

// Cut is what a node cannot reach.
type Cut string

// What a node can be cut off from.
const (
	// CutAll pulls the cable.
	CutAll Cut = "all"
	// CutAPI drops what goes between the node and the control plane, but for DNS, which
	// in other clusters runs on nodes.
	CutAPI Cut = "api"
	// CutPeers drops what goes between the node and other nodes.
	CutPeers Cut = "peers"
	// CutIn lets nothing reach the node, though what it sends arrives.
	CutIn Cut = "in"
	// CutOut lets nothing leave the node, though it is reached.
	CutOut Cut = "out"
)

// ApplyCuts makes exactly these cuts, by node number.
func ApplyCuts(ctx context.Context, network layout.Network, nodes int, cuts map[int][]Cut) error {
	for i := 1; i <= nodes; i++ {
		state := "up"
		if slices.Contains(cuts[i], CutAll) {
			state = "down"
		}
		if link := network.Link(i); LinkExists(link) { // A node that is off has none.
			if _, err := Run(ctx, "ip", "link", "set", link, state); err != nil {
				return err
			}
		}
	}
	_, err := run(ctx, cutRules(network, cuts), "nft", "-f", "-")
	return err
}

func cutRules(network layout.Network, cuts map[int][]Cut) string {
	chains := map[string]*strings.Builder{"input": {}, "output": {}, "forward": {}}
	for _, i := range slices.Sorted(maps.Keys(cuts)) {
		link := network.Link(i)
		if slices.Contains(cuts[i], CutAPI) {
			fmt.Fprintf(chains["input"], "    iifname %q meta l4proto { tcp, udp } th dport 53 accept\n", link)
			fmt.Fprintf(chains["input"], "    iifname %q ether type != arp drop\n", link)
			fmt.Fprintf(chains["output"], "    oifname %q meta l4proto { tcp, udp } th sport 53 accept\n", link)
			fmt.Fprintf(chains["output"], "    oifname %q ether type != arp drop\n", link)
		}
		if slices.Contains(cuts[i], CutPeers) {
			fmt.Fprintf(chains["forward"], "    iifname %q drop\n    oifname %[1]q drop\n", link)
		}
		// ARP stays: the cable is there, and it is one-way losses of packets that are wanted.
		if slices.Contains(cuts[i], CutOut) {
			fmt.Fprintf(chains["input"], "    iifname %q ether type != arp drop\n", link)
			fmt.Fprintf(chains["forward"], "    iifname %q ether type != arp drop\n", link)
		}
		if slices.Contains(cuts[i], CutIn) {
			fmt.Fprintf(chains["output"], "    oifname %q ether type != arp drop\n", link)
			fmt.Fprintf(chains["forward"], "    oifname %q ether type != arp drop\n", link)
		}
	}
	var rules strings.Builder
	fmt.Fprintf(&rules, "table bridge %[1]s\ndelete table bridge %[1]s\ntable bridge %[1]s {\n", network.Name())
	for _, chain := range slices.Sorted(maps.Keys(chains)) {
		fmt.Fprintf(&rules, "  chain %s {\n    type filter hook %[1]s priority filter;\n%s  }\n", chain, chains[chain])
	}
	rules.WriteString("}\n")
	return rules.String()
}
