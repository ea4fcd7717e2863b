package build_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/caretaker-dev/caretaker/internal/cluster/build"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
)

func TestHowInstancesAreToFailOver(t *testing.T) {
	t.Parallel()

	tests := []struct {
		name    string
		members []string
		want    instanceapi.HA
	}{
		{"three instances wait for a replica", []string{"a-0", "a-1", "a-2"}, instanceapi.HA{Acks: 1}},
		{"two go on without", []string{"a-0", "a-1"}, instanceapi.HA{Acks: 1, Preferred: true}},
		{"one has nobody to wait for", []string{"a-0"}, instanceapi.HA{Preferred: true}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()

			in := smallest()
			in.Members = tc.members

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
