package mqtttest

import (
	"bytes"
	"errors"
	"os"
	"time"
)

// ExpectBytes holds that exactly these bytes come next, within the time limit.
func (c *Client) ExpectBytes(want ...byte) {
	c.t.Helper()
	c.readWhile(func() bool { return len(c.buf) < len(want) && bytes.HasPrefix(want, c.buf) }, want)
	n := min(len(c.buf), len(want))
	if !bytes.Equal(c.buf[:n], want) {
		c.fatalf("awaiting % x, got % x", first(want), first(c.buf))
	}
	c.buf = append([]byte(nil), c.buf[n:]...)
}

// TakeBytes returns the next n bytes, whatever they are.
func (c *Client) TakeBytes(n int) []byte {
	c.t.Helper()
	c.readWhile(func() bool { return len(c.buf) < n }, nil)
	b := c.buf[:n:n]
	c.buf = append([]byte(nil), c.buf[n:]...)
	return b
}

// readWhile reads more bytes as long as they are wanted.
func (c *Client) readWhile(wanted func() bool, awaiting []byte) {
	c.t.Helper()
	if err := c.Conn.SetReadDeadline(time.Now().Add(c.Timeout)); err != nil {
		c.fatalf("awaiting bytes: %v", err)
	}
	b := make([]byte, 64<<10)
	for wanted() {
		n, err := c.Conn.Read(b)
		c.buf = append(c.buf, b[:n]...)
		if n > 0 || err == nil {
			continue
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = errNothing
		}
		c.fatalf("awaiting % x, got % x, then: %v", first(awaiting), first(c.buf), err)
	}
}

// first returns what is worth showing of bytes.
func first(b []byte) []byte { return b[:min(len(b), 200)] }
