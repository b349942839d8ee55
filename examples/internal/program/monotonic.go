package program

import (
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// clockMonotonic reads the clock that systemd compares with.
func clockMonotonic(ts *syscall.Timespec) error {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		return err
	}
	ts.Sec, ts.Nsec = t.Sec, t.Nsec
	return nil
}

func microseconds(ts syscall.Timespec) string {
	return strconv.FormatInt(ts.Nano()/1000, 10)
}
