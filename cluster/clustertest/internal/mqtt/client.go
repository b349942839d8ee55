// Package mqtt has the client of the packages that test clusters.
package mqtt

import (
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/cluster/clustertest"
	"github.com/shoalmq/shoal/packets"
)

// Client is a v5 client that says and expects one packet at a time.
type Client struct {
	T       *testing.T
	Conn    net.Conn
	Version packets.Version
	Ack     *packets.ConnAck
	id      uint16
	Pending []packets.Packet // PUBLISHes read while something else was expected
}

// ConnectOption changes a CONNECT before it is sent.
type ConnectOption func(*packets.Connect)

// Clean asks for a new session.
func Clean(p *packets.Connect) { p.CleanStart = true }

// Expiry asks for a session that lasts for so many seconds after its connection.
func Expiry(seconds uint32) ConnectOption {
	return func(p *packets.Connect) { p.Properties.SessionExpiryInterval = packets.Some(seconds) }
}

// Will adds a will, which is published so many seconds after the connection has ended.
func Will(topic, payload string, qos packets.QoS, delay uint32) ConnectOption {
	return func(p *packets.Connect) {
		p.Will = &packets.Will{TopicName: topic, Payload: []byte(payload), QoS: qos}
		if delay > 0 {
			p.Will.Properties.WillDelayInterval = packets.Some(delay)
		}
	}
}

// Dial opens a connection to a node and says nothing yet.
func Dial(t *testing.T, c *clustertest.Cluster, node int) *Client {
	t.Helper()
	return &Client{T: t, Conn: c.Dial(t, node), Version: packets.V5}
}

// Connect connects a client to a node and expects to be accepted.
func Connect(t *testing.T, c *clustertest.Cluster, node int, id string, opts ...ConnectOption) *Client {
	t.Helper()
	cl := Dial(t, c, node)
	cl.SendConnect(id, opts...)
	cl.Ack = Expect[*packets.ConnAck](cl)
	require.Equal(t, packets.Success, cl.Ack.ReasonCode, "%s on node %d: %v", id, node, cl.Ack.Properties.ReasonString)
	return cl
}

// SendConnect sends a CONNECT and does not wait for the answer.
func (c *Client) SendConnect(id string, opts ...ConnectOption) {
	p := &packets.Connect{ProtocolVersion: packets.V5, ClientID: id}
	for _, o := range opts {
		o(p)
	}
	c.Send(p)
}

// Send sends a packet.
func (c *Client) Send(p packets.Packet) {
	c.T.Helper()
	b, err := packets.Append(nil, p, c.Version)
	require.NoError(c.T, err)
	_, err = c.Conn.Write(b)
	require.NoError(c.T, err)
}

// Patience is for how long a packet is waited for.
const Patience = 20 * time.Second

// Read returns the next packet of any kind that comes within the limit.
func (c *Client) Read(limit time.Duration) (packets.Packet, error) {
	_ = c.Conn.SetReadDeadline(time.Now().Add(limit))
	return packets.Read(c.Conn, c.Version, 1<<28)
}

// Expect returns the next packet, which must be a P; PUBLISHes that come before are kept for Next.
func Expect[P packets.Packet](c *Client) P {
	c.T.Helper()
	var zero P
	for {
		p, err := c.Read(Patience)
		require.NoError(c.T, err, "expected %T", zero)
		if want, ok := p.(P); ok {
			return want
		}
		if _, ok := p.(*packets.Publish); !ok {
			require.Fail(c.T, "unexpected packet", "expected %T, got %T %+v", zero, p, p)
		}
		c.Pending = append(c.Pending, p)
	}
}

// Next returns the next PUBLISH without acknowledging it.
func (c *Client) Next() *packets.Publish {
	c.T.Helper()
	if len(c.Pending) > 0 {
		p := c.Pending[0].(*packets.Publish)
		c.Pending = c.Pending[1:]
		return p
	}
	for {
		p, err := c.Read(Patience)
		require.NoError(c.T, err, "expected PUBLISH")
		if c.completes(p) {
			continue
		}
		pub, ok := p.(*packets.Publish)
		require.True(c.T, ok, "expected PUBLISH, got %T %+v", p, p)
		return pub
	}
}

// completes answers a PUBREL that comes again after a reconnect, since the PUBCOMP was lost with the connection.
func (c *Client) completes(p packets.Packet) bool {
	rel, ok := p.(*packets.PubRel)
	if ok {
		c.Send(&packets.PubComp{PacketID: rel.PacketID})
	}
	return ok
}

// Receive returns the next message, acknowledged.
func (c *Client) Receive() *packets.Publish {
	c.T.Helper()
	p := c.Next()
	switch p.QoS {
	case 1:
		c.Send(&packets.PubAck{PacketID: p.PacketID})
	case 2:
		c.Send(&packets.PubRec{PacketID: p.PacketID})
		for released := uint16(0); released != p.PacketID; { // those of the last connection may come behind the message
			released = Expect[*packets.PubRel](c).PacketID
			c.Send(&packets.PubComp{PacketID: released})
		}
	}
	return p
}

// Count acknowledges QoS 1 messages until none comes for a time, and returns how many came.
func (c *Client) Count(quiet time.Duration) (n int) {
	c.T.Helper()
	for {
		p, err := c.Read(quiet)
		if err != nil {
			require.ErrorIs(c.T, err, os.ErrDeadlineExceeded)
			return n
		}
		pub, ok := p.(*packets.Publish)
		require.True(c.T, ok, "expected PUBLISH, got %T", p)
		c.Send(&packets.PubAck{PacketID: pub.PacketID})
		n++
	}
}

// Once expects the payload "once", and nothing else for a second.
func Once(s *Client) {
	s.T.Helper()
	require.Equal(s.T, "once", string(s.Receive().Payload))
	s.Silent(time.Second)
}

// Silent fails the test if anything arrives within d.
func (c *Client) Silent(d time.Duration) {
	c.T.Helper()
	require.Empty(c.T, c.Pending)
	p, err := c.Read(d)
	for err == nil && c.completes(p) {
		p, err = c.Read(d)
	}
	require.ErrorIs(c.T, err, os.ErrDeadlineExceeded, "nothing was expected, got %+v", p)
}

// Subscribe subscribes to the filters and expects each to be granted the QoS.
func (c *Client) Subscribe(qos packets.QoS, filters ...string) {
	c.T.Helper()
	c.id++
	p := &packets.Subscribe{PacketID: c.id}
	for _, f := range filters {
		p.Subscriptions = append(p.Subscriptions, packets.Subscription{TopicFilter: f, QoS: qos})
	}
	c.Send(p)
	ack := Expect[*packets.SubAck](c)
	require.Equal(c.T, c.id, ack.PacketID)
	for i, code := range ack.ReasonCodes {
		require.Equal(c.T, packets.ReasonCode(qos), code, filters[i])
	}
}

// Unsubscribe unsubscribes from a filter and expects that there was a subscription.
func (c *Client) Unsubscribe(filter string) {
	c.T.Helper()
	c.id++
	c.Send(&packets.Unsubscribe{PacketID: c.id, TopicFilters: []string{filter}})
	require.Equal(c.T, packets.Success, Expect[*packets.UnsubAck](c).ReasonCodes[0])
}

// Post publishes and returns the code of the acknowledgement.
func (c *Client) Post(topic, payload string, qos packets.QoS, retain bool) packets.ReasonCode {
	c.T.Helper()
	p := &packets.Publish{TopicName: topic, Payload: []byte(payload), QoS: qos, Retain: retain}
	if qos > 0 {
		c.id++
		p.PacketID = c.id
	}
	c.Send(p)
	switch qos {
	case 1:
		a := Expect[*packets.PubAck](c)
		require.Equal(c.T, p.PacketID, a.PacketID)
		return a.ReasonCode
	case 2:
		a := Expect[*packets.PubRec](c)
		require.Equal(c.T, p.PacketID, a.PacketID)
		if a.ReasonCode.IsError() {
			return a.ReasonCode
		}
		c.Send(&packets.PubRel{PacketID: p.PacketID})
		require.Equal(c.T, p.PacketID, Expect[*packets.PubComp](c).PacketID)
		return a.ReasonCode
	}
	return packets.Success
}

// AwaitCode publishes QoS 1 until the acknowledgement has the code, for a while: routes that are no longer needed go in the background.
func AwaitCode(pub *Client, topic string, want packets.ReasonCode) (code packets.ReasonCode) {
	for range 50 {
		if code = pub.Post(topic, "x", 1, false); code == want {
			return code
		}
		time.Sleep(100 * time.Millisecond)
	}
	return code
}

// Closed expects the connection to end, and returns the DISCONNECT that came before, if any.
func (c *Client) Closed() *packets.Disconnect {
	c.T.Helper()
	var d *packets.Disconnect
	for {
		p, err := c.Read(Patience)
		if err != nil {
			require.NotErrorIs(c.T, err, os.ErrDeadlineExceeded, "the connection did not end")
			return d
		}
		if dis, ok := p.(*packets.Disconnect); ok {
			d = dis
		}
	}
}

// Drop ends the connection without a word.
func (c *Client) Drop() { _ = c.Conn.Close() }

// Leave ends the connection with a DISCONNECT, and waits until the server has closed it.
func (c *Client) Leave() {
	c.Send(&packets.Disconnect{})
	_, _ = io.Copy(io.Discard, c.Conn)
	c.Drop()
}

// Numbered returns n payloads that say their place.
func Numbered(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("%06d", i)
	}
	return list
}
