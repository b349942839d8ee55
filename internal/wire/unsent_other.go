//go:build !linux

package wire

import "syscall"

// unsent is not known here: only what was written counts as progress.
func unsent(syscall.RawConn) int { return 0 }
