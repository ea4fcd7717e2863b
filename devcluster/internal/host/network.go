package host

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/caretaker-dev/caretaker/devcluster/internal/layout"
)

// Run runs a program and returns what it prints; its error includes that.
func Run(ctx context.Context, name string, args ...string) (string, error) {
	return run(ctx, "", name, args...)
}

func run(ctx context.Context, stdin, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	output, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(output)))
	}
	return string(output), nil
}

// LinkExists says whether the machine has a network link of this name.
func LinkExists(name string) bool {
	_, err := os.Stat("/sys/class/net/" + name)
	return err == nil
}

// SetUpNetwork makes the bridge, its routes to pods, and address translation for what
// leaves the cluster.
func SetUpNetwork(ctx context.Context, network layout.Network, nodes int) error {
	bridge := network.Name()
	if !LinkExists(bridge) {
		if _, err := Run(ctx, "ip", "link", "add", bridge, "type", "bridge"); err != nil {
			return err
		}
	}
	commands := [][]string{
		// Of its own, a bridge has the lowest address of its ports: if that node went off, the others would send to an
		// address that is nobody's for up to half a minute, and nothing would reach the API server.
		{"link", "set", bridge, "address", network.GatewayMAC()},
		{"addr", "replace", fmt.Sprintf("%s/%d", network.Gateway(), network.NodeSubnet().Bits()), "dev", bridge},
		{"link", "set", bridge, "up"},
	}
	for i := range nodes {
		commands = append(commands, []string{
			"route", "replace", network.NodePodSubnet(i + 1).String(),
			"via", network.NodeAddress(i + 1).String(), "dev", bridge,
		})
	}
	for _, args := range commands {
		if _, err := Run(ctx, "ip", args...); err != nil {
			return err
		}
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o600); err != nil {
		return fmt.Errorf("allowing pods to reach other networks: %w", err)
	}
	rules := fmt.Sprintf(`table ip %[1]s
delete table ip %[1]s
table ip %[1]s {
  chain postrouting {
    type nat hook postrouting priority srcnat;
    ip saddr { %[2]s, %[3]s } oifname != "%[1]s" masquerade
  }
}
`, bridge, network.NodeSubnet(), network.PodSubnet())
	_, err := run(ctx, rules, "nft", "-f", "-")
	return err
}

// Plug connects node number i, whose first process is pid, to the bridge.
func Plug(ctx context.Context, network layout.Network, i, pid int) error {
	link := network.Link(i)
	if LinkExists(link) { // The node that had it is dead, but its namespace not yet gone.
		if _, err := Run(ctx, "ip", "link", "delete", link); err != nil {
			return err
		}
	}
	_, err := Run(ctx, "ip", "link", "add", link, "type", "veth", "peer", "name", "eth0",
		"address", network.NodeMAC(i), "netns", fmt.Sprint(pid))
	if err != nil {
		return err
	}
	_, err = Run(ctx, "ip", "link", "set", link, "master", network.Name(), "up")
	return err
}

// TearDownNetwork removes all that the cluster has in the machine's network.
func TearDownNetwork(ctx context.Context, network layout.Network) error {
	for i := range layout.MaxNodes {
		if link := network.Link(i + 1); LinkExists(link) {
			if _, err := Run(ctx, "ip", "link", "delete", link); err != nil && LinkExists(link) {
				return err
			}
		}
	}
	if LinkExists(network.Name()) { // Routes go with it.
		if _, err := Run(ctx, "ip", "link", "delete", network.Name()); err != nil {
			return err
		}
	}
	if _, err := exec.LookPath("nft"); err != nil {
		return nil //nolint:nilerr // Without nft there are no rules either.
	}
	for _, family := range []string{"ip", "bridge"} {
		if err := deleteTable(ctx, family, network.Name()); err != nil {
			return err
		}
	}
	return nil
}

func deleteTable(ctx context.Context, family, name string) error {
	// Declaring a table first makes deleting it succeed in any case.
	_, err := run(ctx, fmt.Sprintf("table %[1]s %[2]s\ndelete table %[1]s %[2]s\n", family, name), "nft", "-f", "-")
	return err
}

// AddressesInUse tells which networks this machine already has a route to, other than
// through links named like clusters'.
func AddressesInUse(ctx context.Context) ([]netip.Prefix, error) {
	output, err := Run(ctx, "ip", "-json", "-4", "route", "show", "table", "all")
	if err != nil {
		return nil, err
	}
	return parseRoutes([]byte(output))
}

func parseRoutes(output []byte) (prefixes []netip.Prefix, err error) {
	var routes []struct{ Dst, Dev, Type string }
	if err := json.Unmarshal(output, &routes); err != nil {
		return nil, fmt.Errorf("reading the machine's routes: %w", err)
	}
	for _, route := range routes {
		if route.Dst == "default" || strings.HasPrefix(route.Dev, "devcluster") {
			continue
		}
		if !strings.Contains(route.Dst, "/") {
			route.Dst += "/32"
		}
		if prefix, err := netip.ParsePrefix(route.Dst); err == nil {
			prefixes = append(prefixes, prefix)
		}
	}
	return prefixes, nil
}

// Collides says whether the cluster's addresses overlap those in use.
func Collides(network layout.Network, used []netip.Prefix) bool {
	return slices.ContainsFunc(used, func(other netip.Prefix) bool {
		return other.Overlaps(network.NodeSubnet()) || other.Overlaps(network.PodSubnet()) ||
			other.Overlaps(network.ServiceSubnet())
	})
}
