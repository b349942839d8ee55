package mqtttest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/shoalmq/shoal/packets"
)

// Client is one connection to a broker. One goroutine uses it. Make one with New.
type Client struct {
	Conn    net.Conn
	Version packets.Version
	// Timeout is how long each call waits. New sets 5 seconds.
	Timeout time.Duration
	// Manual turns off that PUBLISH, PUBREC and PUBREL are answered as they are read. A QoS 2 message's PUBREL is
	// returned by Expect only with Manual set.
	Manual bool
	// MaxPacket is the largest packet that is taken, in bytes; larger ones fail the test. 0 for no limit.
	MaxPacket int

	t      testing.TB
	buf    []byte
	stash  []*packets.Publish // read while something else was awaited
	lastID uint16
	name   string
}

// New returns a Client on conn, which it closes when the test ends.
func New(t testing.TB, conn net.Conn, v packets.Version) *Client {
	c := &Client{Conn: conn, Version: v, Timeout: 5 * time.Second, t: t, name: "client"}
	t.Cleanup(func() { _ = conn.Close() })
	return c
}

// Close closes the connection without a DISCONNECT.
func (c *Client) Close() {
	c.t.Helper()
	if err := c.Conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		c.fatalf("close: %v", err)
	}
}

func (c *Client) fatalf(format string, args ...any) {
	c.t.Helper()
	c.t.Fatalf("%s (%v): %s", c.name, c.Version, fmt.Sprintf(format, args...))
}

// Send sends a packet.
func (c *Client) Send(p packets.Packet) {
	c.t.Helper()
	b, err := packets.Append(nil, p, c.Version)
	if err != nil {
		c.fatalf("encode %v: %v", p.Type(), err)
	}
	c.SendRaw(b)
}

// SendRaw sends bytes as they are.
func (c *Client) SendRaw(b []byte) {
	c.t.Helper()
	if err := c.TrySend(b); err != nil {
		c.fatalf("send: %v", err)
	}
}

// TrySend sends bytes to a broker that may have closed the connection.
func (c *Client) TrySend(b []byte) error {
	if err := c.Conn.SetWriteDeadline(time.Now().Add(c.Timeout)); err != nil {
		return err
	}
	_, err := c.Conn.Write(b)
	return err
}

// errNothing says that nothing came in time.
var errNothing = errors.New("nothing came in time")

// read returns the next packet, whatever it is.
func (c *Client) read(limit time.Duration) (packets.Packet, error) {
	if err := c.Conn.SetReadDeadline(time.Now().Add(limit)); err != nil {
		return nil, err
	}
	for {
		if p, err := c.parse(); p != nil || err != nil {
			return p, err
		}
		if len(c.buf) == cap(c.buf) {
			c.buf = append(make([]byte, 0, 2*cap(c.buf)+4096), c.buf...)
		}
		n, err := c.Conn.Read(c.buf[len(c.buf):cap(c.buf)])
		c.buf = c.buf[:len(c.buf)+n]
		switch {
		case n > 0:
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, errNothing
		case err != nil:
			return nil, err
		}
	}
}

// parse takes a packet from the front of the buffer; nil if there is no whole one.
func (c *Client) parse() (packets.Packet, error) {
	h, err := packets.ParseFixedHeader(c.buf)
	if errors.Is(err, packets.ErrIncomplete) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	size := h.Size + h.Remaining
	if c.MaxPacket > 0 && size > c.MaxPacket {
		return nil, fmt.Errorf("a packet of %d bytes, larger than the Maximum Packet Size %d", size, c.MaxPacket)
	}
	if len(c.buf) < size {
		return nil, nil
	}
	p := packets.New(h.Type)
	if err := p.Decode(h, c.buf[h.Size:size:size], c.Version); err != nil {
		return nil, err
	}
	c.buf = append([]byte(nil), c.buf[size:]...) // p refers to the old bytes
	return p, nil
}

// next returns the next packet after what is to be answered has been answered.
func (c *Client) next(limit time.Duration) (packets.Packet, error) {
	for {
		p, err := c.read(limit)
		if err != nil || c.Manual {
			return p, err
		}
		switch p := p.(type) {
		case *packets.Publish:
			switch p.QoS {
			case 1:
				c.Send(&packets.PubAck{PacketID: p.PacketID})
			case 2:
				c.Send(&packets.PubRec{PacketID: p.PacketID})
			}
			return p, nil
		case *packets.PubRel:
			c.Send(&packets.PubComp{PacketID: p.PacketID})
		default:
			return p, nil
		}
	}
}

// Next returns the next packet, whatever it is.
func (c *Client) Next() packets.Packet {
	c.t.Helper()
	if len(c.stash) > 0 {
		return c.nextPublish()
	}
	p, err := c.next(c.Timeout)
	if err != nil {
		c.fatalf("awaiting a packet: %v", err)
	}
	return p
}

// Expect returns the next packet, which must be of type t. PUBLISH packets that come before it are kept for ExpectPublish.
func (c *Client) Expect(t packets.Type) packets.Packet {
	c.t.Helper()
	if t == packets.TypePublish {
		return c.nextPublish()
	}
	for {
		p, err := c.next(c.Timeout)
		if err != nil {
			c.fatalf("awaiting %v: %v", t, err)
		}
		if p.Type() == t {
			return p
		}
		pub, ok := p.(*packets.Publish)
		if !ok {
			c.fatalf("awaiting %v, got %+v", t, p)
		}
		c.stash = append(c.stash, pub)
	}
}

// Expect returns the next packet of c, which must be a P.
func Expect[P packets.Packet](c *Client) P {
	c.t.Helper()
	var p P
	return c.Expect(p.Type()).(P)
}

func (c *Client) nextPublish() *packets.Publish {
	c.t.Helper()
	if len(c.stash) > 0 {
		p := c.stash[0]
		c.stash = c.stash[1:]
		return p
	}
	p, err := c.next(c.Timeout)
	if err != nil {
		c.fatalf("awaiting PUBLISH: %v", err)
	}
	pub, ok := p.(*packets.Publish)
	if !ok {
		c.fatalf("awaiting PUBLISH, got %+v", p)
	}
	return pub
}

// ExpectPublish returns the next PUBLISH, which must have this topic and this payload.
func (c *Client) ExpectPublish(topic, payload string) *packets.Publish {
	c.t.Helper()
	p := c.nextPublish()
	if p.TopicName != topic || string(p.Payload) != payload {
		c.fatalf("awaiting PUBLISH of %q to %q, got %q to %q (%+v)", shorten(payload), topic, shorten(string(p.Payload)), p.TopicName, p.Properties)
	}
	return p
}

func shorten(s string) string {
	if len(s) > 100 {
		return fmt.Sprintf("%s… (%d bytes)", s[:100], len(s))
	}
	return s
}

// ExpectClosed waits for the broker to close the connection. Nothing may come before that.
func (c *Client) ExpectClosed() {
	c.t.Helper()
	p, err := c.read(c.Timeout)
	switch {
	case err == nil:
		c.fatalf("awaiting the end, got %+v", p)
	case !closed(err):
		c.fatalf("awaiting the end: %v", err)
	}
}

func closed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.ErrClosedPipe)
}

// ExpectDisconnect waits for the broker to end the connection: in v5 with a DISCONNECT that carries code. It returns that.
func (c *Client) ExpectDisconnect(code packets.ReasonCode) *packets.Disconnect {
	c.t.Helper()
	var d *packets.Disconnect
	if c.Version == packets.V5 {
		d = Expect[*packets.Disconnect](c)
		if d.ReasonCode != code {
			c.fatalf("awaiting DISCONNECT with %v, got %v (%q)", code, d.ReasonCode, d.Properties.ReasonString.Value)
		}
	}
	c.ExpectClosed()
	return d
}

// ExpectNothing holds that nothing comes for d. Use it where time is virtual; otherwise see ExpectQuiet.
func (c *Client) ExpectNothing(d time.Duration) {
	c.t.Helper()
	if len(c.stash) > 0 {
		c.fatalf("awaiting nothing, got %+v", c.stash[0])
	}
	p, err := c.read(d)
	if err == nil {
		c.fatalf("awaiting nothing, got %+v", p)
	}
	if !errors.Is(err, errNothing) {
		c.fatalf("awaiting nothing: %v", err)
	}
}

// ExpectQuiet holds that nothing was sent up to now, by means of a PINGREQ: what the broker had for this client when it
// answers would have come before.
func (c *Client) ExpectQuiet() {
	c.t.Helper()
	c.Send(&packets.PingReq{})
	c.Expect(packets.TypePingResp)
	if len(c.stash) > 0 {
		p := c.stash[0]
		c.fatalf("awaiting nothing, got PUBLISH of %q to %q", shorten(string(p.Payload)), p.TopicName)
	}
}

// Stashed returns the PUBLISH packets that came while something else was awaited, and forgets them.
func (c *Client) Stashed() []*packets.Publish {
	s := c.stash
	c.stash = nil
	return s
}
