package wire

import (
	"syscall"
	"unsafe"
)

// unsent returns how many bytes the kernel has of a socket that the peer has not taken.
func unsent(c syscall.RawConn) (n int) {
	var v int32
	_ = c.Control(func(fd uintptr) { // of a closed socket it is nothing
		_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, fd, syscall.TIOCOUTQ, uintptr(unsafe.Pointer(&v))) //nolint:gosec // no other way without a library
		if errno != 0 {
			v = 0
		}
	})
	return int(v)
}
