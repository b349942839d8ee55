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
	if err := c.Conn.SetReadDeadline(time.Now().Add(c.Timeout)); err != nil {
		c.fatalf("awaiting % x: %v", want, err)
	}
	for len(c.buf) < len(want) && bytes.HasPrefix(want, c.buf) {
		b := make([]byte, 4096)
		n, err := c.Conn.Read(b)
		c.buf = append(c.buf, b[:n]...)
		if n == 0 && err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				err = errNothing
			}
			c.fatalf("awaiting % x, got % x, then: %v", want, c.buf, err)
		}
	}
	if got := c.buf[:min(len(c.buf), len(want))]; !bytes.Equal(got, want) {
		c.fatalf("awaiting % x, got % x", want, got)
	}
	c.buf = append([]byte(nil), c.buf[len(want):]...)
}
