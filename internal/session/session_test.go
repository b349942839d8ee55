package session

import (
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/packets"
)

func TestQoS1(t *testing.T) {
	d := newDesk(t, roomy())
	d.attach(Conn{})
	d.push(1, "a")
	p := d.sent()[0].(*packets.Publish)
	require.EqualValues(t, 1, p.PacketID)
	require.EqualValues(t, 1, p.QoS)
	require.Equal(t, 1, d.s.InFlight())
	require.False(t, d.s.PubAck(2, 0))
	require.False(t, d.s.PubComp(1))
	require.True(t, d.s.PubAck(1, 0))
	require.False(t, d.s.PubAck(1, 0))
	require.Zero(t, d.s.Len())
	require.Zero(t, d.s.Bytes())
	require.Equal(t, []string{"enqueued a", "sent a", "acknowledged a"}, d.log.take())
}

func TestQoS2(t *testing.T) {
	d := newDesk(t, roomy())
	d.attach(Conn{})
	d.push(2, "a")
	d.expect("a")
	require.False(t, d.s.PubAck(1, 0), "a PUBACK does not end QoS 2")
	require.False(t, d.s.PubComp(1), "nor does a PUBCOMP before PUBREC")
	d.s.PubRec(&d.out, 1, 0)
	d.expect("rel 1")
	d.s.PubRec(&d.out, 1, 0) // repeated
	d.expect("rel 1")
	require.True(t, d.s.PubComp(1))
	d.s.PubRec(&d.out, 1, 0)
	rel := d.sent()[0].(*packets.PubRel)
	require.Equal(t, packets.PacketIdentifierNotFound, rel.ReasonCode)
	require.Equal(t, []string{"enqueued a", "sent a", "pubrec a", "acknowledged a"}, d.log.take())
	d.push(2, "b")
	d.expect("b")
	d.s.PubRec(&d.out, 2, packets.QuotaExceeded)
	d.expect()
	require.Zero(t, d.s.Len())
	require.Contains(t, d.log.take(), "refused b")
}

// TestResend holds order, identifiers and DUP over connections [MQTT-4.4.0-1].
func TestResend(t *testing.T) {
	d := newDesk(t, roomy())
	d.attach(Conn{})
	for i := range 5 {
		d.push(packets.QoS(1+i%2), strconv.Itoa(i))
	}
	d.expect("0", "1", "2", "3", "4")
	d.s.PubRec(&d.out, 2, 0)
	d.s.PubAck(3, 0)
	d.expect("rel 2")
	for range 3 {
		d.detach()
		d.attach(Conn{})
		d.expect("rel 2", "0+", "3+", "4+")
	}
	d.s.PubAck(1, 0)
	d.detach()
	d.push(1, "new")
	d.attach(Conn{})
	d.expect("rel 2", "3+", "4+", "new")
}

func TestWindow(t *testing.T) {
	d := newDesk(t, roomy())
	d.attach(Conn{ReceiveMaximum: 2})
	for i := range 8 {
		d.push(1, strconv.Itoa(i))
	}
	d.expect("0", "1")
	d.s.PubAck(2, 0)
	d.pump()
	d.expect("2")
	d.s.PubAck(1, 0)
	d.s.PubAck(3, 0)
	d.pump()
	d.expect("3", "4")
	d.detach()
	d.attach(Conn{ReceiveMaximum: 1})
	d.expect("3+")
	d.s.PubAck(4, 0)
	d.pump()
	d.expect("4+")
}

func TestOutboxFull(t *testing.T) {
	l := roomy()
	l.OutboxBytes = 100
	d := newDesk(t, l)
	d.attach(Conn{})
	for range 10 {
		d.push(1, strings.Repeat("x", 60))
	}
	require.Len(t, d.sent(), 2)
	d.pump()
	require.Len(t, d.sent(), 2)
	require.Equal(t, 10, d.s.Len())
}

func TestExpiry(t *testing.T) {
	d := newDesk(t, roomy())
	m := message("a")
	m.Expires = 5 * second
	d.s.Push(Entry{Msg: m, QoS: 1})
	d.s.Push(Entry{Msg: m, QoS: 1})
	d.now = 4*second + second/2
	d.attach(Conn{ReceiveMaximum: 1})
	p := d.sent()[0].(*packets.Publish)
	require.EqualValues(t, 1, p.Properties.MessageExpiryInterval.Value) // rounded up: 0 would be expired already
	d.now = 6 * second
	d.s.PubAck(1, 0)
	d.pump()
	d.expect()
	require.Zero(t, d.s.Len())
	require.Equal(t, []string{"enqueued a", "enqueued a", "sent a", "acknowledged a", "expired a"}, d.log.take())
	// What was sent once is sent again, expired or not: the client may have it.
	d.now = second
	d.s.Push(Entry{Msg: m, QoS: 2})
	d.pump()
	d.expect("a")
	d.detach()
	d.now = 10 * second
	d.attach(Conn{})
	d.expect("a+")
}

func TestTooLarge(t *testing.T) {
	d := newDesk(t, roomy())
	d.attach(Conn{MaximumPacketSize: 20})
	d.push(1, strings.Repeat("x", 50))
	d.push(1, "small")
	d.expect("small")
	require.Equal(t, 1, d.s.Len())
}

func TestQueueFull(t *testing.T) {
	for _, oldest := range []bool{false, true} {
		l := roomy()
		l.QueuedMessages, l.DropOldest = 3, oldest
		d := newDesk(t, l)
		d.attach(Conn{ReceiveMaximum: 1})
		for i := range 6 {
			require.Equal(t, oldest || i < 3, d.push(1, strconv.Itoa(i)))
		}
		d.expect("0") // never dropped
		d.detach()
		d.attach(Conn{})
		if oldest {
			d.expect("0+", "4", "5")
		} else {
			d.expect("0+", "1", "2")
		}
	}
}

// TestOversizedMessage holds that a message which fits only alone drops nothing else, and is taken when it is alone.
func TestOversizedMessage(t *testing.T) {
	l := roomy()
	l.QueuedBytes, l.DropOldest = 1000, true
	d := newDesk(t, l)
	require.True(t, d.push(1, "a"))
	require.False(t, d.push(1, strings.Repeat("x", 2000)))
	require.Equal(t, 1, d.s.Len())
	d = newDesk(t, l)
	require.True(t, d.push(1, strings.Repeat("x", 2000)))
}

// TestDropOldestForLong holds a queue that stays full behind messages in flight: what is dropped must not pile up.
func TestDropOldestForLong(t *testing.T) {
	l := roomy()
	l.QueuedMessages, l.DropOldest = 100, true
	d := newDesk(t, l)
	d.attach(Conn{ReceiveMaximum: 1})
	d.push(1, "first")
	d.detach()
	for i := range 10_000 {
		require.True(t, d.push(1, strconv.Itoa(i)))
		require.Equal(t, min(100, i+2), d.s.Len())
	}
	require.Less(t, len(d.s.out.buf), 2048)
	d.attach(Conn{})
	got := d.payloads()
	require.Len(t, got, 100)
	require.Equal(t, "first+", got[0])
	require.Equal(t, "9901", got[1])
	require.Equal(t, "9999", got[99])
}

// TestIdentifiersRunOut holds that an identifier in use is not given out again, however long ago it was taken [MQTT-2.2.1-4].
func TestIdentifiersRunOut(t *testing.T) {
	d := newDesk(t, roomy())
	d.attach(Conn{})
	d.push(1, "never acknowledged")
	first := d.sent()[0].(*packets.Publish).PacketID
	for range 70_000 {
		d.push(1, "m")
		p := d.sent()[0].(*packets.Publish)
		require.NotZero(t, p.PacketID)
		require.NotEqual(t, first, p.PacketID)
		require.True(t, d.s.PubAck(p.PacketID, 0))
	}
	require.Equal(t, 1, d.s.Len())
	require.Less(t, len(d.s.out.buf), 1024)
	d.detach()
	d.attach(Conn{})
	d.expect("never acknowledged+")
}

// TestAllIdentifiersInUse holds 65,535 messages in flight at once.
func TestAllIdentifiersInUse(t *testing.T) {
	l := roomy()
	l.QueuedMessages, l.QueuedBytes, l.OutboxBytes = 70_000, 1<<30, 1<<30
	d := newDesk(t, l)
	d.attach(Conn{})
	for range ids + 10 {
		d.s.Push(Entry{Msg: message("m"), QoS: 1})
	}
	d.pump()
	used := make(map[uint16]bool)
	for _, p := range d.sent() {
		used[p.(*packets.Publish).PacketID] = true
	}
	require.Len(t, used, ids)
	require.True(t, d.s.PubAck(40_000, 0))
	d.pump()
	// The window is 65,535, and one place in it is free; so is one identifier.
	p := d.sent()
	require.Len(t, p, 1)
	require.EqualValues(t, 40_000, p[0].(*packets.Publish).PacketID)
}

// TestSameIdentifierAfterCrash holds that a message whose sending was not stored yet gets its identifier again.
func TestSameIdentifierAfterCrash(t *testing.T) {
	d := newDesk(t, roomy())
	d.attach(Conn{})
	for i := range 10 {
		d.push(2, strconv.Itoa(i))
	}
	var stored []Entry
	d.s.Entries(func(e *Entry) {
		e2 := *e
		e2.State, e2.PacketID = Queued, 0
		stored = append(stored, e2)
	})
	before := d.sent()
	d = newDesk(t, roomy())
	for _, e := range stored[3:] {
		d.s.Resume(e)
	}
	d.attach(Conn{})
	for i, p := range d.sent() {
		require.Equal(t, before[i+3].(*packets.Publish).PacketID, p.(*packets.Publish).PacketID)
	}
	d.push(2, "new")
	require.EqualValues(t, 11, d.sent()[0].(*packets.Publish).PacketID)
}

func TestResume(t *testing.T) {
	d := newDesk(t, roomy())
	d.s.Resume(Entry{Msg: message("a"), QoS: 2, Seq: 10, PacketID: 500, State: Released})
	d.s.Resume(Entry{Msg: message("b"), QoS: 1, Seq: 11, PacketID: 501, State: Sent})
	d.s.Resume(Entry{Msg: message("c"), QoS: 1, Seq: 12})
	d.s.ResumeReceived(7)
	require.Empty(t, d.log.take())
	require.Equal(t, 2, d.s.InFlight())
	d.attach(Conn{})
	d.expect("rel 500", "b+", "c")
	require.True(t, d.s.PubComp(500))
	require.True(t, d.s.PubAck(501, 0))
	_, duplicate := d.s.Pending(7)
	require.True(t, duplicate)
	require.Equal(t, []uint16{7}, d.s.Unreleased())
}

// TestTopicAlias holds that an alias is of one connection and never in the message.
func TestTopicAlias(t *testing.T) {
	d := newDesk(t, roomy())
	d.attach(Conn{TopicAliasMaximum: 1})
	d.push(1, "a")
	d.push(1, "b")
	d.s.Push(Entry{Msg: &Message{TopicName: "u", Payload: []byte("c")}, QoS: 1})
	d.pump()
	var names []string
	for _, p := range d.sent() {
		names = append(names, p.(*packets.Publish).TopicName)
	}
	require.Equal(t, []string{"t", "", "u"}, names)
	d.detach()
	d.attach(Conn{})
	for _, p := range d.sent() {
		require.NotEmpty(t, p.(*packets.Publish).TopicName)
		require.False(t, p.(*packets.Publish).Properties.TopicAlias.Set)
	}
}

// TestLend holds that what is lent is not sent, and is kept and counted, in its place, until it is given or taken back.
func TestLend(t *testing.T) {
	d := newDesk(t, roomy())
	d.attach(Conn{ReceiveMaximum: 2})
	for i := range 6 {
		share := ""
		if i%2 == 0 {
			share = "g"
		}
		d.s.Push(Entry{Msg: message(strconv.Itoa(i)), QoS: 1, Share: share})
	}
	d.pump()
	d.expect("0", "1")
	d.detach()
	lent := d.s.Lend(func(e *Entry) bool { return e.Share == "g" })
	require.Len(t, lent, 3)
	var kept []string
	d.s.Kept(func(e *Entry) { kept = append(kept, string(e.Msg.Payload)) })
	require.Equal(t, []string{"0", "1", "2", "3", "4", "5"}, kept)
	require.Equal(t, 6, d.s.Len())
	for i, e := range lent {
		require.Equal(t, strconv.Itoa(2*i), string(e.Msg.Payload))
	}
	d.s.Given(lent[1].Seq)
	require.Equal(t, 2, d.s.Lent())
	d.attach(Conn{})
	d.expect("1+", "3", "5")
	d.s.TakeBack(lent[0].Seq)
	d.s.TakeBack(lent[2].Seq)
	d.s.Given(lent[2].Seq) // is not lent any more
	d.pump()
	d.expect("0+", "4")
	require.Zero(t, d.s.Lent())
	require.Equal(t, 5, d.s.Len())
}

func TestInbound(t *testing.T) {
	l := roomy()
	l.ReceiveMaximum = 2
	d := newDesk(t, l)
	_, duplicate := d.s.Pending(1)
	require.False(t, duplicate)
	d.s.Receive(1)
	d.s.Receive(1)
	d.s.SetToken(1, "token")
	d.s.SetToken(2, "nobody's")
	token, duplicate := d.s.Pending(1)
	require.True(t, duplicate)
	require.Equal(t, "token", token)
	require.False(t, d.s.Release(2))
	require.True(t, d.s.Release(1))
	require.False(t, d.s.Release(1))
	require.Equal(t, []string{"received 1", "completed 1"}, d.log.take())
	require.True(t, d.s.Begin())
	require.True(t, d.s.Begin())
	require.False(t, d.s.Begin())
	d.attach(Conn{})
	require.True(t, d.s.Begin(), "a new connection has the whole quota")
	for range 10 {
		d.s.Finish()
	}
	require.True(t, d.s.Begin())
	require.True(t, d.s.Begin())
	require.False(t, d.s.Begin(), "giving back more than was taken makes no room")
}

func TestQoS0(t *testing.T) {
	d := newDesk(t, roomy())
	d.attach(Conn{MaximumPacketSize: 10})
	require.True(t, d.s.SendQoS0(&d.out, &Entry{Msg: message("a")}, d.now))
	require.False(t, d.s.SendQoS0(&d.out, &Entry{Msg: message("0123456789")}, d.now))
	require.False(t, d.s.Plain(11))
	require.True(t, d.s.Plain(10))
	d.expect("a")
	require.Empty(t, d.log.take())
}

func TestMessageOwnsItsMemory(t *testing.T) {
	packet := []byte("topic|payload|type|answers|data|key|value")
	part := func(i int) string { return strings.Split(aliasString(packet), "|")[i] }
	p := &packets.Publish{TopicName: part(0), Payload: []byte(part(1)), QoS: 1, Retain: true, Properties: packets.Properties{
		ContentType: packets.Some(part(2)), ResponseTopic: packets.Some(part(3)), CorrelationData: packet[27:31],
		UserProperties:        []packets.UserProperty{{Key: part(5), Value: part(6)}},
		MessageExpiryInterval: packets.Some(uint32(3)), TopicAlias: packets.Some(uint16(4)), SubscriptionIdentifiers: []uint32{1},
	}}
	m := NewMessage(p, 5)
	for i := range packet {
		packet[i] = 'x'
	}
	require.Equal(t, "topic", m.TopicName)
	require.Equal(t, "payload", string(m.Payload))
	require.Equal(t, 5+3*second, m.Expires)
	require.Equal(t, packets.Properties{
		ContentType: packets.Some("type"), ResponseTopic: packets.Some("answers"), CorrelationData: []byte("data"),
		UserProperties: []packets.UserProperty{{Key: "key", Value: "value"}},
	}, *m.Properties)
}
