//go:build !unix

package wire

import (
	"net"
	"syscall"
)

func rawConn(net.Conn) syscall.RawConn { return nil }

func (r *Reader) tryRead(uintptr) bool { return true }

func (w *Writer) tryWrite(uintptr) bool { return true }
