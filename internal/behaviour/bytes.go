package behaviour

import (
	"strconv"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/internal/mqtttest"
	"github.com/shoalmq/shoal/packets"
)

func byteCases() []Case {
	return []Case{
		{Name: "bytes/exactly these in 5", Clauses: []string{
			"MQTT-2.2.1-2", "MQTT-2.2.1-5", "MQTT-2.2.1-6", "MQTT-2.2.2-1", "MQTT-4.3.1-1", "MQTT-3.3.4-1", "MQTT-4.3.2-2", "MQTT-4.3.2-4", "MQTT-4.3.3-2",
			"MQTT-4.3.3-4", "MQTT-4.3.3-8", "MQTT-4.3.3-11", "MQTT-3.6.1-1", "MQTT-2.1.3-1", "MQTT-3.12.4-1", "MQTT-3.10.4-5",
		}, run: exactV5},
		{Name: "bytes/exactly these in 3", Clauses: []string{
			"3.1.1:MQTT-2.2.2-1", "3.1.1:MQTT-2.3.1-5", "3.1.1:MQTT-2.3.1-6", "3.1.1:MQTT-2.3.1-7", "3.1.1:MQTT-3.1.4-4", "3.1.1:MQTT-3.2.0-1", "3.1.1:MQTT-3.3.4-1",
			"3.1.1:MQTT-3.6.1-1", "3.1.1:MQTT-3.8.4-1", "3.1.1:MQTT-3.8.4-2", "3.1.1:MQTT-3.8.4-5", "3.1.1:MQTT-3.10.4-1", "3.1.1:MQTT-3.10.4-2", "3.1.1:MQTT-3.12.4-1",
			"3.1.1:MQTT-3.3.1-2",
		}, run: exactV3},
		{Name: "bytes/CONNACK", Clauses: []string{"MQTT-3.2.2-1", "MQTT-3.1.4-5"}, run: exactConnAck},
		{Name: "bytes/properties of a message stay on it", run: noLeaks},
		{Name: "bytes/lengths around their limits", Clauses: []string{"MQTT-1.5.5-1"}, run: lengthLimits},
		{Name: "bytes/U+FEFF is a character", Clauses: []string{"MQTT-1.5.4-3", "MQTT-4.7.3-4", "3.1.1:MQTT-1.5.3-3"}, run: byteOrderMark},
		{Name: "bytes/longest names", Clauses: []string{"MQTT-4.7.3-3", "MQTT-4.7.3-1"}, run: longestNames},
	}
}

func raw(v packets.Version, first byte, pieces ...any) []byte { return rawPacket(v, first, pieces...) }

func exactV5(c *context) {
	exact(c, packets.V5)
	// Reason codes come where there is something to say; nothing else is there.
	cl := c.v5(0, "c")
	cl.SendRaw(raw(packets.V5, 0xA2, u16(9), props(""), text("none"), text("none/#")))
	cl.ExpectBytes(0xB0, 5, 0, 9, 0, 0x11, 0x11)
	cl.SendRaw(raw(packets.V5, 0x32, text("nowhere"), u16(10), props("")))
	cl.ExpectBytes(0x40, 3, 0, 10, 0x10)
	cl.SendRaw(raw(packets.V5, 0x62, u16(11)))
	cl.ExpectBytes(0x70, 3, 0, 11, 0x92)
	cl.SendRaw(raw(packets.V5, 0x50, u16(12)))
	cl.ExpectBytes(0x62, 3, 0, 12, 0x92)
	cl.SendRaw(raw(packets.V5, 0x82, u16(13), props(""), text("a"), 2, text("b"), 0, text("c"), 1))
	cl.ExpectBytes(0x90, 6, 0, 13, 0, 2, 0, 1)
}

func exactV3(c *context) {
	for _, v := range versions[:2] {
		exact(c, v)
		cl := c.dial(0, v)
		cl.SendRaw(rawConnect(v, 2, "", text("c")))
		cl.ExpectBytes(0x20, 2, 0, 0)
		cl.SendRaw(raw(v, 0xA2, u16(9), text("none"), text("none/#")))
		cl.ExpectBytes(0xB0, 2, 0, 9)
		cl.SendRaw(raw(v, 0x32, text("nowhere"), u16(10)))
		cl.ExpectBytes(0x40, 2, 0, 10)
		cl.SendRaw(raw(v, 0x62, u16(11)))
		cl.ExpectBytes(0x70, 2, 0, 11)
		cl.SendRaw(raw(v, 0x82, u16(13), text("a"), 2, text("b/#/b"), 0, text("c"), 1))
		cl.ExpectBytes(0x90, 5, 0, 13, 2, 0x80, 1)
	}
}

// exact goes through one exchange of each kind, as publisher and as subscriber at once.
func exact(c *context, v packets.Version) {
	cl := c.connect(0, v, "c")
	cl.SendRaw(raw(v, 0x82, u16(1), props(""), text("t"), 2))
	cl.ExpectBytes(raw(v, 0x90, u16(1), props(""), 2)...)
	cl.SendRaw(raw(v, 0x30, text("t"), props(""), "zero"))
	cl.ExpectBytes(raw(v, 0x30, text("t"), props(""), "zero")...)
	cl.SendRaw([]byte{0xC0, 0})
	cl.ExpectBytes(0xD0, 0)

	other := c.connect(1, v, "other")
	other.SendRaw(raw(v, 0x32, text("t"), u16(0xfffe), props(""), "one"))
	other.ExpectBytes(0x40, 2, 0xff, 0xfe)
	id := identifier(c, cl, raw(v, 0x32, text("t")), raw(v, 0x32, text("t"), u16(0), props(""), "one"))
	cl.SendRaw(raw(v, 0x40, id))

	other.SendRaw(raw(v, 0x34, text("t"), u16(0xfffd), props(""), "two"))
	other.ExpectBytes(0x50, 2, 0xff, 0xfd)
	other.SendRaw(raw(v, 0x62, u16(0xfffd)))
	other.ExpectBytes(0x70, 2, 0xff, 0xfd)
	id = identifier(c, cl, raw(v, 0x34, text("t")), raw(v, 0x34, text("t"), u16(0), props(""), "two"))
	cl.SendRaw(raw(v, 0x50, id))
	cl.ExpectBytes(raw(v, 0x62, id)...)
	cl.SendRaw(raw(v, 0x70, id))

	cl.SendRaw(raw(v, 0xA2, u16(2), props(""), text("t")))
	if v == packets.V5 {
		cl.ExpectBytes(0xB0, 4, 0, 2, 0, 0)
	} else {
		cl.ExpectBytes(0xB0, 2, 0, 2)
	}
	cl.ExpectQuiet()
	other.ExpectQuiet()
	cl.SendRaw([]byte{0xE0, 0})
	cl.ExpectClosed()
	other.SendRaw([]byte{0xE0, 0})
	other.ExpectClosed()
}

// identifier expects a PUBLISH that is like whole but for its Packet Identifier, which it returns. short is its beginning, up to there, with
// another length.
func identifier(c *context, cl *mqtttest.Client, short, whole []byte) u16 {
	c.Helper()
	begin := append([]byte(nil), whole[:len(short)]...)
	cl.ExpectBytes(begin...)
	rest := cl.TakeBytes(len(whole) - len(short))
	id := u16(rest[0])<<8 | u16(rest[1])
	require.NotZero(c, id)
	require.Equal(c, whole[len(short)+2:], rest[2:])
	return id
}

func exactConnAck(c *context) {
	cl := c.dial(0, packets.V5)
	cl.SendRaw(rawConnect(packets.V5, 2, "", text("c")))
	head := cl.TakeBytes(4)
	require.EqualValues(c, 0x20, head[0])
	require.Zero(c, head[2], "the flags") // no session, and the reserved ones
	require.Zero(c, head[3], "the reason code")
	cl.TakeBytes(int(head[1]) - 2)
	cl.ExpectQuiet()
	cl.Disconnect()
	cl = c.dial(1, packets.V5)
	cl.SendRaw(rawConnect(packets.V5, 2, "\x11\x00\x00\x00\x64", text("c")))
	cl.Expect(packets.TypeConnAck)
	cl.Disconnect()
	cl = c.dial(2, packets.V5)
	cl.SendRaw(rawConnect(packets.V5, 0, "\x11\x00\x00\x00\x64", text("c")))
	head = cl.TakeBytes(4)
	require.EqualValues(c, 1, head[2], "Session Present")
	require.Zero(c, head[3])
}

// noLeaks holds that nothing of a message, retained or with User Properties, gets onto an answer.
func noLeaks(c *context) {
	user := props("\x26\x00\x03key\x00\x05value\x01\x01")
	cl := c.v5(0, "c")
	sub := c.v5(1, "sub")
	sub.Subscribe(2, "t")
	for _, retain := range []byte{0, 1} {
		cl.SendRaw(raw(packets.V5, 0x32|retain, text("t"), u16(3), user, "m"))
		cl.ExpectBytes(0x40, 2, 0, 3)
		cl.SendRaw(raw(packets.V5, 0x34|retain, text("t"), u16(4), user, "m"))
		cl.ExpectBytes(0x50, 2, 0, 4)
		cl.SendRaw(raw(packets.V5, 0x62, u16(4), 0, props("\x26\x00\x01k\x00\x01v\x1f\x00\x01r")))
		cl.ExpectBytes(0x70, 2, 0, 4)
		for range 2 {
			require.Equal(c, []packets.UserProperty{{Key: "key", Value: "value"}}, mqtttest.Expect[*packets.Publish](sub).Properties.UserProperties)
		}
	}
	cl.SendRaw(raw(packets.V5, 0x82, u16(5), props("\x26\x00\x01k\x00\x01v"), text("t"), 1))
	cl.ExpectBytes(0x90, 4, 0, 5, 0, 1)
	retained := cl.ExpectPublish("t", "m")
	require.True(c, retained.Retain)
	cl.SendRaw(raw(packets.V5, 0xA2, u16(6), props("\x26\x00\x01k\x00\x01v"), text("t")))
	cl.ExpectBytes(0xB0, 4, 0, 6, 0, 0)
	cl.ExpectQuiet()
	sub.ExpectQuiet()
}

// lengthLimits sends messages whose Remaining Length is around each limit; ParseFixedHeader of the client takes the shortest form only, and
// the header is looked at, too.
func lengthLimits(c *context) {
	sub := c.v5(1, "sub")
	sub.Subscribe(0, "t")
	pub := c.v5(0, "pub")
	for _, remaining := range []int{127, 128, 16_383, 16_384, 2_097_151, 2_097_152} {
		payload := strings.Repeat("x", remaining-4)
		packet := raw(packets.V5, 0x30, text("t"), props(""), payload)
		require.Len(c, packet, 1+len(varint(remaining))+remaining)
		pub.SendRaw(packet)
		sub.ExpectBytes(packet...)
	}
	for _, length := range []int{127, 128, 16_383, 16_384} { // of the properties
		packet := raw(packets.V5, 0x30, text("t"), props(rawBody(packets.V5, 0x26, text("k"), text(strings.Repeat("v", length-6)))), "m")
		pub.SendRaw(packet)
		sub.ExpectBytes(packet...)
	}
}

func byteOrderMark(c *context) {
	const bom = "\ufeff"
	for i, v := range versions {
		sub := c.connect(i+1, v, bom+"c")
		twin := c.connect(i+2, v, "c") // is another client
		sub.Subscribe(1, bom+"t", bom)
		twin.Subscribe(1, "t")
		pub := c.connect(i, v, "pub")
		pub.Publish(1, bom+"t", bom+"m")
		sub.ExpectPublish(bom+"t", bom+"m")
		pub.Publish(1, bom, "m")
		sub.ExpectPublish(bom, "m")
		pub.Publish(1, "t", "m")
		twin.ExpectPublish("t", "m")
		sub.ExpectQuiet()
		twin.ExpectQuiet()
	}
	sub, pub := c.v5(0, "sub"), c.v5(1, "other")
	sub.Subscribe(0, "t")
	pub.PublishWith(&packets.Publish{TopicName: "t", Properties: packets.Properties{
		ContentType: packets.Some(bom + "x"), UserProperties: []packets.UserProperty{{Key: bom, Value: "v" + bom}},
	}})
	p := mqtttest.Expect[*packets.Publish](sub).Properties
	require.Equal(c, bom+"x", p.ContentType.Value)
	require.Equal(c, []packets.UserProperty{{Key: bom, Value: "v" + bom}}, p.UserProperties)
}

func longestNames(c *context) {
	longest := strings.Repeat("/abcdefg", 8192)[:65_535]
	for i, v := range versions {
		sub := c.connect(i+1, v, "sub")
		sub.Subscribe(1, longest, "s")
		pub := c.connect(i, v, "pub")
		for qos := range packets.QoS(2) {
			pub.Publish(qos, longest, strconv.Itoa(i))
			sub.ExpectPublish(longest, strconv.Itoa(i))
			pub.Publish(qos, "s", "m")
			sub.ExpectPublish("s", "m")
		}
		sub.Disconnect()
	}
}
