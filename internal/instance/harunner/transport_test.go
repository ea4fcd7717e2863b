package harunner

import "testing"

// A standby follows the address that a peer told. A lost message must not move it to the peer's name and back: each move
// makes it connect anew.
func TestToldOutlivesLostMessage(t *testing.T) {
	t.Parallel()

	transport := &Transport{Resolve: func(name string) string { return name + ".members:1" }}
	transport.Start(t.Context())

	if got := transport.Told("a"); got != "a.members:1" {
		t.Errorf("nothing was told, and it is %s", got)
	}

	transport.Learn("a", "10.0.0.1:1")
	transport.forget("a")

	if got := transport.Told("a"); got != "10.0.0.1:1" {
		t.Errorf("after a lost message it is %s", got)
	}

	if got := transport.AddressOf("a"); got != "a.members:1" {
		t.Errorf("messages go to %s after one was lost", got)
	}
}
