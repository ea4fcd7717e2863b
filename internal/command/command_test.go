package command_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/spf13/cobra"

	"github.com/caretaker-dev/caretaker/internal/command"
)

func TestRun(t *testing.T) {
	for _, tc := range []struct {
		err  error
		code int
		says string
	}{
		{nil, 0, ""},
		{errors.New("no such thing"), 1, "program: no such thing\n"},
		{fmt.Errorf("fetch: %w", command.WithCode(errors.New("store is down"), 126)), 126, "program: fetch: store is down\n"},
	} {
		var said bytes.Buffer

		root := command.Root("program", "Does it", &cobra.Command{Use: "do", RunE: func(*cobra.Command, []string) error { return tc.err }})
		root.SetArgs([]string{"do"})
		root.SetErr(&said)

		if code := command.Run(root, "program"); code != tc.code || said.String() != tc.says {
			t.Errorf("exit code %d and %q, want %d and %q", code, said.String(), tc.code, tc.says)
		}
	}
}
