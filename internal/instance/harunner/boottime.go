package harunner

import (
	"time"

	"golang.org/x/sys/unix"
)

// Boottime is CLOCK_BOOTTIME, which runs on while the machine sleeps and is never set.
func Boottime() time.Duration {
	var now unix.Timespec
	// The only errors are a wrong clock and a wrong pointer.
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &now)

	return time.Duration(now.Nano())
}
