package main

import (
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// monotonic is the time by the system's monotonic clock, which Type=notify-reload
// wants to hear.
func monotonic() string {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return ""
	}
	return "MONOTONIC_USEC=" + strconv.FormatInt(now.Nano()/int64(time.Microsecond), 10)
}
