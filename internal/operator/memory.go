package operator

import (
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
)

// memoryShare of the container's limit is left to Go, in percent; the rest is for what its runtime does not count.
const memoryShare = 90

// gcPercent of the live heap may be garbage, in place of Go's 100: most of the heap is caches that live long, so that
// collecting twice as often costs little and saves a quarter of the memory.
const gcPercent = 50

// limitMemory keeps the process small, and makes the garbage collector work harder near the container's limit rather than
// be killed at it. GOGC and GOMEMLIMIT in the environment have precedence. It returns the limit in bytes, 0 if there is none.
func limitMemory() int64 {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}

	if os.Getenv("GOMEMLIMIT") != "" {
		return debug.SetMemoryLimit(-1)
	}

	for _, file := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		content, err := os.ReadFile(file) //nolint:gosec // one of two fixed paths
		if err != nil {
			continue
		}

		if limit := memoryLimit(string(content)); limit > 0 {
			debug.SetMemoryLimit(limit)

			return limit
		}
	}

	return 0
}

// memoryLimit is our share of what a cgroup allows; 0 if it allows anything: "max" in version 2, a number beyond any
// machine in version 1.
func memoryLimit(content string) int64 {
	limit, err := strconv.ParseInt(strings.TrimSpace(content), 10, 64)
	if err != nil || limit <= 0 || limit > math.MaxInt64/4096 {
		return 0
	}

	return limit / 100 * memoryShare
}
