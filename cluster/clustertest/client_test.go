package clustertest_test

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

// client is a v5 client that says and expects one packet at a time.
type client struct {
	t    *testing.T
	conn net.Conn
	v    packets.Version
	ack  *packets.ConnAck
	id   uint16
	pend []packets.Packet // PUBLISHes read while something else was expected
}

type connectOption func(*packets.Connect)

func clean(p *packets.Connect) { p.CleanStart = true }
func expiry(seconds uint32) connectOption {
	return func(p *packets.Connect) { p.Properties.SessionExpiryInterval = packets.Some(seconds) }
}

func will(topic, payload string, qos packets.QoS, delay uint32) connectOption {
	return func(p *packets.Connect) {
		p.Will = &packets.Will{TopicName: topic, Payload: []byte(payload), QoS: qos}
		if delay > 0 {
			p.Will.Properties.WillDelayInterval = packets.Some(delay)
		}
	}
}

// dial opens a connection to a node and says nothing yet.
func dial(t *testing.T, c *clustertest.Cluster, node int) *client {
	t.Helper()
	return &client{t: t, conn: c.Dial(t, node), v: packets.V5}
}

// connect connects a client to a node and expects to be accepted.
func connect(t *testing.T, c *clustertest.Cluster, node int, id string, opts ...connectOption) *client {
	t.Helper()
	cl := dial(t, c, node)
	cl.sendConnect(id, opts...)
	cl.ack = expect[*packets.ConnAck](cl)
	require.Equal(t, packets.Success, cl.ack.ReasonCode, "%s on node %d: %v", id, node, cl.ack.Properties.ReasonString)
	return cl
}

func (c *client) sendConnect(id string, opts ...connectOption) {
	p := &packets.Connect{ProtocolVersion: packets.V5, ClientID: id}
	for _, o := range opts {
		o(p)
	}
	c.send(p)
}

func (c *client) send(p packets.Packet) {
	c.t.Helper()
	b, err := packets.Append(nil, p, c.v)
	require.NoError(c.t, err)
	_, err = c.conn.Write(b)
	require.NoError(c.t, err)
}

const patience = 20 * time.Second

func (c *client) read(limit time.Duration) (packets.Packet, error) {
	_ = c.conn.SetReadDeadline(time.Now().Add(limit))
	return packets.Read(c.conn, c.v, 1<<28)
}

// expect returns the next packet, which must be a P; PUBLISHes that come before are kept for publish.
func expect[P packets.Packet](c *client) P {
	c.t.Helper()
	var zero P
	for {
		p, err := c.read(patience)
		require.NoError(c.t, err, "expected %T", zero)
		if want, ok := p.(P); ok {
			return want
		}
		if _, ok := p.(*packets.Publish); !ok {
			require.Fail(c.t, "unexpected packet", "expected %T, got %T %+v", zero, p, p)
		}
		c.pend = append(c.pend, p)
	}
}

// publish returns the next PUBLISH without acknowledging it.
func (c *client) publish() *packets.Publish {
	c.t.Helper()
	if len(c.pend) > 0 {
		p := c.pend[0].(*packets.Publish)
		c.pend = c.pend[1:]
		return p
	}
	for {
		p, err := c.read(patience)
		require.NoError(c.t, err, "expected PUBLISH")
		if c.completes(p) {
			continue
		}
		pub, ok := p.(*packets.Publish)
		require.True(c.t, ok, "expected PUBLISH, got %T %+v", p, p)
		return pub
	}
}

// completes answers a PUBREL that comes again after a reconnect, since the PUBCOMP was lost with the connection.
func (c *client) completes(p packets.Packet) bool {
	rel, ok := p.(*packets.PubRel)
	if ok {
		c.send(&packets.PubComp{PacketID: rel.PacketID})
	}
	return ok
}

// receive returns the next message, acknowledged.
func (c *client) receive() *packets.Publish {
	c.t.Helper()
	p := c.publish()
	switch p.QoS {
	case 1:
		c.send(&packets.PubAck{PacketID: p.PacketID})
	case 2:
		c.send(&packets.PubRec{PacketID: p.PacketID})
		require.Equal(c.t, p.PacketID, expect[*packets.PubRel](c).PacketID)
		c.send(&packets.PubComp{PacketID: p.PacketID})
	}
	return p
}

// silent fails the test if anything arrives within d.
func (c *client) silent(d time.Duration) {
	c.t.Helper()
	require.Empty(c.t, c.pend)
	p, err := c.read(d)
	for err == nil && c.completes(p) {
		p, err = c.read(d)
	}
	require.ErrorIs(c.t, err, os.ErrDeadlineExceeded, "nothing was expected, got %+v", p)
}

func (c *client) subscribe(qos packets.QoS, filters ...string) {
	c.t.Helper()
	c.id++
	p := &packets.Subscribe{PacketID: c.id}
	for _, f := range filters {
		p.Subscriptions = append(p.Subscriptions, packets.Subscription{TopicFilter: f, QoS: qos})
	}
	c.send(p)
	ack := expect[*packets.SubAck](c)
	require.Equal(c.t, c.id, ack.PacketID)
	for i, code := range ack.ReasonCodes {
		require.Equal(c.t, packets.ReasonCode(qos), code, filters[i])
	}
}

func (c *client) unsubscribe(filter string) {
	c.t.Helper()
	c.id++
	c.send(&packets.Unsubscribe{PacketID: c.id, TopicFilters: []string{filter}})
	require.Equal(c.t, packets.Success, expect[*packets.UnsubAck](c).ReasonCodes[0])
}

// post publishes and returns the code of the acknowledgement.
func (c *client) post(topic, payload string, qos packets.QoS, retain bool) packets.ReasonCode {
	c.t.Helper()
	p := &packets.Publish{TopicName: topic, Payload: []byte(payload), QoS: qos, Retain: retain}
	if qos > 0 {
		c.id++
		p.PacketID = c.id
	}
	c.send(p)
	switch qos {
	case 1:
		a := expect[*packets.PubAck](c)
		require.Equal(c.t, p.PacketID, a.PacketID)
		return a.ReasonCode
	case 2:
		a := expect[*packets.PubRec](c)
		require.Equal(c.t, p.PacketID, a.PacketID)
		if a.ReasonCode.IsError() {
			return a.ReasonCode
		}
		c.send(&packets.PubRel{PacketID: p.PacketID})
		require.Equal(c.t, p.PacketID, expect[*packets.PubComp](c).PacketID)
		return a.ReasonCode
	}
	return packets.Success
}

// closed expects the connection to end, and returns the DISCONNECT that came before, if any.
func (c *client) closed() *packets.Disconnect {
	c.t.Helper()
	var d *packets.Disconnect
	for {
		p, err := c.read(patience)
		if err != nil {
			require.NotErrorIs(c.t, err, os.ErrDeadlineExceeded, "the connection did not end")
			return d
		}
		if dis, ok := p.(*packets.Disconnect); ok {
			d = dis
		}
	}
}

// drop ends the connection without a word.
func (c *client) drop() { _ = c.conn.Close() }

func (c *client) leave() {
	c.send(&packets.Disconnect{})
	_, _ = io.Copy(io.Discard, c.conn)
	c.drop()
}

// numbered returns n payloads that say their place.
func numbered(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("%06d", i)
	}
	return list
}
