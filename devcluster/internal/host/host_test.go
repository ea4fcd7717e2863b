package host

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caretaker-dev/caretaker/devcluster/internal/layout"
)

func TestCollides(t *testing.T) {
	tests := []struct {
		name, routes string
		want         bool
	}{
		{"nothing", `[]`, false},
		{"default route", `[{"dst":"default","dev":"eth0"}]`, false},
		{"other network", `[{"dst":"192.0.2.0/24","dev":"eth0"}]`, false},
		{"neighbouring slot", `[{"dst":"10.98.2.0/24","dev":"eth0"},{"dst":"10.244.32.0/24","dev":"eth0"}]`, false},
		{"another devcluster", `[{"dst":"10.98.1.0/24","dev":"devcluster1"}]`, false},
		{"nodes", `[{"dst":"10.98.1.7","dev":"tun0"}]`, true},
		{"pods", `[{"dst":"10.244.0.0/16","dev":"flannel.1"}]`, true},
		{"services", `[{"dst":"10.0.0.0/8","dev":"tun0"}]`, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			used, err := parseRoutes([]byte(test.routes))
			if err != nil {
				t.Fatal(err)
			}
			if got := Collides(layout.Network{Slot: 1}, used); got != test.want {
				t.Errorf("Collides = %v, want %v", got, test.want)
			}
		})
	}
}

func TestCutRules(t *testing.T) {
	n := layout.Network{Slot: 3}
	tests := []struct {
		name         string
		cuts         map[int][]Cut
		want, absent []string
	}{
		{"none", nil, []string{"table bridge devcluster3 {"}, []string{"drop"}},
		{
			"api",
			map[int][]Cut{2: {CutAPI}},
			[]string{`iifname "dc3-node-2" ether type != arp drop`, `oifname "dc3-node-2" ether type != arp drop`, "th dport 53 accept"},
			[]string{`iifname "dc3-node-2" drop`, "node-1"},
		},
		{
			"peers",
			map[int][]Cut{1: {CutPeers}},
			[]string{`iifname "dc3-node-1" drop`, `oifname "dc3-node-1" drop`},
			[]string{"arp", "node-2"},
		},
		{
			"what leaves a node",
			map[int][]Cut{1: {CutOut}},
			[]string{`iifname "dc3-node-1" ether type != arp drop`},
			[]string{"oifname"},
		},
		{
			"what reaches a node",
			map[int][]Cut{1: {CutIn}},
			[]string{`oifname "dc3-node-1" ether type != arp drop`},
			[]string{"iifname"},
		},
		{"all is the cable's matter", map[int][]Cut{1: {CutAll}}, nil, []string{"drop"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			rules := cutRules(n, test.cuts)
			for _, want := range test.want {
				if !strings.Contains(rules, want) {
					t.Errorf("no %q in\n%s", want, rules)
				}
			}
			for _, absent := range test.absent {
				if strings.Contains(rules, absent) {
					t.Errorf("%q in\n%s", absent, rules)
				}
			}
		})
	}
}

func TestSlots(t *testing.T) {
	if _, err := Run(t.Context(), "ip", "-V"); err != nil {
		t.Skip("needs iproute2")
	}
	dir, first, second := t.TempDir(), t.TempDir(), t.TempDir()
	claim := func(state string) int {
		t.Helper()
		network, err := ClaimSlot(t.Context(), dir, state)
		if err != nil {
			t.Fatal(err)
		}
		return network.Slot
	}
	one := claim(first)
	if again := claim(first); again != one {
		t.Errorf("a cluster's slot changes from %d to %d", one, again)
	}
	two := claim(second)
	if two == one {
		t.Errorf("two clusters have slot %d", one)
	}
	if err := os.RemoveAll(first); err != nil {
		t.Fatal(err)
	}
	if third := claim(t.TempDir()); third != one {
		t.Errorf("slot %d of a cluster that is gone is not given away: %d", one, third)
	}
	if err := FreeSlot(dir, second); err != nil {
		t.Fatal(err)
	}
	if _, found := FindSlot(dir, second); found {
		t.Error("a slot that was given up is still claimed")
	}
	if _, err := os.Stat(filepath.Join(dir, "lock")); err != nil {
		t.Error("the slots have no lock")
	}
}
