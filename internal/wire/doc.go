// Package wire moves bytes between a connection and the broker with as few system calls and as little memory as it can.
//
// On a socket, reading waits until there is something to read and only then borrows a buffer: an idle connection holds a
// goroutine and no buffer. Writing tries without waiting first, on the goroutine that has something to write; only
// when the peer does not keep up is a goroutine of its own needed. Other connections (TLS, WebSocket, in memory) are read
// and written through net.Conn.
package wire
