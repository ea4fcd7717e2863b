package testport

import (
	"context"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"
)

// The ports lie below those that the kernel gives to outgoing connections (32768 and up, ip_local_port_range) and below Kubernetes'
// node ports. A server that a test stops and starts again finds its port as it left it; one that the kernel chose may
// meanwhile be the local end of anybody's connection.
const first, last = 10000, 29999

// given are the ports that this process was told of.
var given sync.Map //nolint:gochecknoglobals // ports are the whole process's

// Free is a TCP port of the loopback address that nobody listens on.
func Free(tb testing.TB) int {
	tb.Helper()

	var configuration net.ListenConfig

	for range 1000 {
		port := first + rand.IntN(last-first+1) //nolint:gosec // no secret

		listener, err := configuration.Listen(context.Background(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}

		_ = listener.Close()

		if _, isGiven := given.LoadOrStore(port, true); !isGiven {
			return port
		}
	}

	tb.Fatalf("no port between %d and %d is free", first, last)

	return 0
}

// Address is 127.0.0.1 with a port that nobody listens on.
func Address(tb testing.TB) string {
	tb.Helper()

	return net.JoinHostPort("127.0.0.1", strconv.Itoa(Free(tb)))
}
