package keeper

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/caretaker-dev/caretaker/internal/instance/scram"
)

func TestPlanSlots(t *testing.T) {
	for name, c := range map[string]struct {
		wanted   []string
		existing []Slot
		want     SlotChange
	}{
		"none yet":            {wanted: []string{"a", "b"}, want: SlotChange{Create: []string{"a", "b"}}},
		"all there":           {wanted: []string{"a"}, existing: []Slot{{Name: "a", Active: true}}},
		"a member left":       {existing: []Slot{{Name: "a"}}, want: SlotChange{Drop: []string{"a"}}},
		"left, still streams": {existing: []Slot{{Name: "a", Active: true}}},
		"lost":                {wanted: []string{"a"}, existing: []Slot{{Name: "a", Status: "lost"}}, want: SlotChange{Drop: []string{"a"}, Create: []string{"a"}}},
		"reserved":            {wanted: []string{"a"}, existing: []Slot{{Name: "a", Status: "extended"}}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, PlanSlots(c.wanted, c.existing)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPasswordStatement(t *testing.T) {
	const secret = "open sesame"

	stored, err := scram.Verifier(secret)
	if err != nil {
		t.Fatal(err)
	}

	for name, c := range map[string]struct {
		want   Password
		stored *string
		begin  string
	}{
		"the same":      {Password{"app", secret}, &stored, ""},
		"new":           {Password{"app", secret}, nil, `ALTER ROLE "app" PASSWORD 'SCRAM-SHA-256$`},
		"changed":       {Password{"app", "other"}, &stored, `ALTER ROLE "app" PASSWORD 'SCRAM-SHA-256$`},
		"taken away":    {Password{"postgres", ""}, &stored, `ALTER ROLE "postgres" PASSWORD NULL`},
		"none, none":    {Password{"postgres", ""}, nil, ""},
		"odd role name": {Password{`a"b`, secret}, nil, `ALTER ROLE "a""b" PASSWORD '`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := passwordStatement(c.want, c.stored)
			if err != nil || !strings.HasPrefix(got, c.begin) || c.begin == "" && got != "" {
				t.Errorf("got %q, %v, want %q…", got, err, c.begin)
			}

			if strings.Contains(got, secret) {
				t.Error("the statement holds the password")
			}
		})
	}
}
