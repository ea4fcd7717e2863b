package build_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/caretaker-dev/caretaker/internal/cluster/build"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
)

func TestFailoverIsAskedForOnlyBehindTheGate(t *testing.T) {
	t.Parallel()

	tests := []struct {
		name    string
		gate    bool
		members []string
		want    *instanceapi.HA
	}{
		{"gate closed", false, []string{"a-0", "a-1", "a-2"}, nil},
		{"three instances wait for a replica", true, []string{"a-0", "a-1", "a-2"}, &instanceapi.HA{Acks: 1}},
		{"two go on without", true, []string{"a-0", "a-1"}, &instanceapi.HA{Acks: 1, Preferred: true}},
		{"one has nobody to wait for", true, []string{"a-0"}, &instanceapi.HA{Preferred: true}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()

			in := smallest()
			in.Operator.Failover, in.Members = tc.gate, tc.members

			var got instanceapi.Config
			if err := json.Unmarshal(build.EncodedConfig(in), &got); err != nil {
				t.Fatal(err)
			}

			if diff := cmp.Diff(tc.want, got.HA); diff != "" {
				t.Error(diff)
			}
		})
	}
}
