package behaviour

import (
	"fmt"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/internal/mqtttest"
	"github.com/shoalmq/shoal/packets"
)

// Malformed packets and protocol errors, byte by byte: the connection ends, in version 5 with the right reason code and a Reason String that
// says what is wrong, and nobody else notices. The tables are independent of package packets, which is under test here.

func malformedCases() []Case {
	return []Case{
		{Name: "malformed/reserved flags", Clauses: []string{
			"MQTT-2.1.3-1", "MQTT-3.6.1-1", "MQTT-3.8.1-1", "MQTT-3.10.1-1", "MQTT-3.14.1-1", "MQTT-3.15.1-1", "MQTT-3.3.1-4", "MQTT-3.3.1-2",
			"MQTT-4.13.1-1", "3.1.1:MQTT-2.2.2-1", "3.1.1:MQTT-2.2.2-2", "3.1.1:MQTT-3.3.1-4", "3.1.1:MQTT-3.6.1-1", "3.1.1:MQTT-3.8.1-1",
			"3.1.1:MQTT-3.10.1-1", "3.1.1:MQTT-4.8.0-1",
		}, run: reservedFlags},
		{Name: "malformed/packets cut short", Clauses: []string{"MQTT-4.13.1-1", "3.1.1:MQTT-4.8.0-1"}, run: cutShort},
		{Name: "malformed/bytes behind the end", Clauses: []string{"MQTT-4.13.1-1", "3.1.1:MQTT-4.8.0-1"}, run: bytesBehind},
		{Name: "malformed/lengths", Clauses: []string{"MQTT-1.5.5-1", "MQTT-4.13.1-1"}, run: malformedLengths},
		{Name: "malformed/text", Clauses: []string{
			"MQTT-1.5.4-1", "MQTT-1.5.4-2", "MQTT-1.5.7-1", "MQTT-3.3.2-1", "MQTT-3.3.2-13", "MQTT-3.3.2-19", "MQTT-3.8.3-1", "MQTT-3.10.3-1",
			"MQTT-4.7.3-2", "3.1.1:MQTT-1.5.3-1", "3.1.1:MQTT-1.5.3-2", "3.1.1:MQTT-3.3.2-1", "3.1.1:MQTT-3.8.3-1", "3.1.1:MQTT-3.10.3-1",
		}, run: malformedText},
		{Name: "malformed/text in CONNECT", Clauses: []string{
			"MQTT-1.5.4-1", "MQTT-1.5.4-2", "MQTT-3.1.3-4", "MQTT-3.1.3-11", "MQTT-3.1.3-12", "3.1.1:MQTT-1.5.3-1", "3.1.1:MQTT-1.5.3-2",
			"3.1.1:MQTT-3.1.3-4", "3.1.1:MQTT-3.1.3-10", "3.1.1:MQTT-3.1.3-11",
		}, run: malformedConnectText},
		{Name: "malformed/CONNECT", Clauses: []string{
			"MQTT-3.1.2-3", "MQTT-3.1.2-9", "MQTT-3.1.2-11", "MQTT-3.1.2-12", "MQTT-3.1.2-13", "MQTT-3.1.2-16", "MQTT-3.1.2-17", "MQTT-3.1.2-18",
			"MQTT-3.1.2-19", "MQTT-3.1.3-3", "MQTT-3.1.4-1", "MQTT-4.7.0-1", "MQTT-4.13.2-1", "MQTT-3.2.2-7", "MQTT-3.14.0-1",
			"3.1.1:MQTT-3.1.2-3", "3.1.1:MQTT-3.1.2-9", "3.1.1:MQTT-3.1.2-11", "3.1.1:MQTT-3.1.2-13", "3.1.1:MQTT-3.1.2-14",
			"3.1.1:MQTT-3.1.2-15", "3.1.1:MQTT-3.1.2-18", "3.1.1:MQTT-3.1.2-19", "3.1.1:MQTT-3.1.2-20", "3.1.1:MQTT-3.1.2-21",
			"3.1.1:MQTT-3.1.2-22", "3.1.1:MQTT-3.1.3-3", "3.1.1:MQTT-3.1.4-1", "3.1.1:MQTT-3.2.2-6",
		}, run: malformedConnect},
		{Name: "malformed/CONNECT cut short", Clauses: []string{
			"MQTT-3.1.2-9", "MQTT-3.1.2-17", "MQTT-3.1.2-19", "MQTT-3.1.4-1", "3.1.1:MQTT-3.1.2-9", "3.1.1:MQTT-3.1.2-19", "3.1.1:MQTT-3.1.2-21",
			"3.1.1:MQTT-3.1.4-1",
		}, run: connectCutShort},
		{Name: "malformed/protocol name and level", Clauses: []string{
			"MQTT-3.1.2-1", "MQTT-3.1.2-2", "3.1.1:MQTT-3.1.2-1", "3.1.1:MQTT-3.1.2-2",
		}, run: protocolNames},
		{Name: "malformed/fields", Clauses: []string{
			"MQTT-2.2.1-3", "MQTT-3.3.2-1", "MQTT-3.3.2-2", "MQTT-3.3.2-8", "MQTT-3.3.2-14", "MQTT-3.3.4-6", "MQTT-3.8.3-2", "MQTT-3.8.3-4",
			"MQTT-3.8.3-5", "MQTT-3.10.3-2", "MQTT-4.7.0-1", "MQTT-4.7.3-1", "MQTT-4.13.1-1", "MQTT-4.13.2-1", "3.1.1:MQTT-2.3.1-1", "3.1.1:MQTT-3.3.2-1",
			"3.1.1:MQTT-3.3.2-2", "3.1.1:MQTT-3.8.3-3", "3.1.1:MQTT-3.8.3-4", "3.1.1:MQTT-3.10.3-2", "3.1.1:MQTT-4.7.0-1", "3.1.1:MQTT-4.7.3-1",
			"3.1.1:MQTT-4.7.3-2", "3.1.1:MQTT-4.8.0-1",
		}, run: malformedFields},
		{Name: "malformed/reason codes of other packets", Clauses: []string{"MQTT-4.13.1-1"}, run: foreignReasonCodes},
		{Name: "malformed/properties of other packets", Clauses: []string{"MQTT-4.13.1-1"}, run: foreignProperties},
		{Name: "malformed/properties twice", Clauses: []string{"MQTT-4.13.1-1"}, run: propertiesTwice},
		{Name: "malformed/values of properties", Clauses: []string{"MQTT-4.13.1-1"}, run: propertyValues},
		{Name: "malformed/packets only servers send", Clauses: []string{"MQTT-4.13.1-1", "3.1.1:MQTT-4.8.0-1"}, run: serverPackets},
		{Name: "malformed/before CONNECT", Clauses: []string{"MQTT-3.1.0-1", "MQTT-3.14.0-1", "3.1.1:MQTT-3.1.0-1", "3.1.1:MQTT-3.2.0-1"}, run: beforeConnect},
	}
}

// hostile is a case about clients that break the rules, with a well-behaved one beside them.
type hostile struct {
	*context
	bystander *mqtttest.Client
	asked     int // for packets that are refused
	done      int
}

func newHostile(c *context) *hostile {
	h := &hostile{context: c, bystander: c.v5(1, "bystander")}
	h.bystander.Subscribe(1, "bystander")
	return h
}

// skips reports whether a packet is left out. Clusters take one of four: each of their nodes reads packets as a broker alone does, which takes all.
func (h *hostile) skips() bool {
	h.asked++
	return h.env.Nodes() > 1 && h.asked%4 != 1
}

// undisturbed holds that the bystander goes on as if nothing were.
func (h *hostile) undisturbed() {
	h.Helper()
	h.done++
	h.bystander.Publish(1, "bystander", "on")
	h.bystander.ExpectPublish("bystander", "on")
}

func (h *hostile) finish() {
	h.Helper()
	require.NotZero(h, h.done)
	h.bystander.ExpectQuiet()
}

// refused sends a packet that must end the connection with code and a Reason String that begins with says.
func (h *hostile) refused(v packets.Version, what string, raw []byte, code packets.ReasonCode, says string) {
	h.Helper()
	if h.skips() {
		return
	}
	cl := h.connect(2, v, "hostile")
	cl.SendRaw(raw)
	h.ended(cl, what, raw, code, says)
}

func (h *hostile) ended(cl *mqtttest.Client, what string, raw []byte, code packets.ReasonCode, says string) {
	h.Helper()
	if cl.Version == packets.V5 {
		p := cl.Next()
		d, ok := p.(*packets.Disconnect)
		require.True(h, ok, "%s: % x: got %+v", what, raw, p)
		h.explained(what, raw, code, says, d.ReasonCode, &d.Properties)
		require.False(h, d.Properties.SessionExpiryInterval.Set) // [MQTT-3.14.2-2]
	}
	cl.ExpectClosed()
	cl.Close()
	if h.done%25 == 0 {
		h.undisturbed()
	} else {
		h.done++
	}
}

// explained holds the reason code and the Reason String: the packet, the field, what is wrong, the clause.
func (h *hostile) explained(what string, raw []byte, code packets.ReasonCode, says string, got packets.ReasonCode, p *packets.Properties) {
	h.Helper()
	reason := p.ReasonString.Value
	require.Equal(h, code.String(), got.String(), "%s: % x: %s", what, raw, reason)
	require.True(h, strings.HasPrefix(reason, says), "%s: % x: %q does not begin with %q", what, raw, reason, says)
	require.Regexp(h, `^[A-Z]+: [A-Z][A-Za-z, ]+: [^:]+ \[(MQTT-[0-9.]+-[0-9]+|section [0-9.]+)\]$`, reason, "%s: % x", what, raw)
}

// refusedConnect sends a CONNECT that must not be accepted: version 5 says why, 3 just closes.
func (h *hostile) refusedConnect(v packets.Version, what string, raw []byte, code packets.ReasonCode, says string) {
	h.Helper()
	if h.skips() {
		return
	}
	cl := h.dial(2, v)
	cl.SendRaw(raw)
	if v == packets.V5 && code != 0 {
		p := cl.Next()
		ack, ok := p.(*packets.ConnAck)
		require.True(h, ok, "%s: % x: got %+v", what, raw, p)
		require.False(h, ack.SessionPresent)
		h.explained(what, raw, code, says, ack.ReasonCode, &ack.Properties)
	}
	cl.ExpectClosed()
	cl.Close()
	if h.done%25 == 0 {
		h.undisturbed()
	} else {
		h.done++
	}
}

func reservedFlags(c *context) {
	h := newHostile(c)
	bodies := map[packets.Type][]any{
		packets.TypePubAck: {u16(1)}, packets.TypePubRec: {u16(1)}, packets.TypePubRel: {u16(1)}, packets.TypePubComp: {u16(1)},
		packets.TypeSubscribe:   {u16(1), props(""), text("a"), 0},
		packets.TypeUnsubscribe: {u16(1), props(""), text("a")},
		packets.TypePingReq:     {}, packets.TypeDisconnect: {},
	}
	for _, v := range versions {
		for t, body := range bodies {
			want := byte(0)
			dup := false
			switch t {
			case packets.TypePubRel, packets.TypeSubscribe, packets.TypeUnsubscribe:
				want, dup = 2, v == packets.V31 // which has a DUP flag there
			}
			for flags := range byte(16) {
				if flags == want || dup && flags == want|8 {
					continue
				}
				h.refused(v, "flags", rawPacket(v, byte(t)<<4|flags, body...), packets.MalformedPacket, t.String()+": Flags: ")
			}
		}
		for _, flags := range []byte{6, 7, 14, 15} {
			h.refused(v, "QoS 3", rawPacket(v, 0x30|flags, text("a"), u16(1), props("")), packets.MalformedPacket, "PUBLISH: QoS: ")
		}
		for _, flags := range []byte{8, 9} {
			h.refused(v, "DUP", rawPacket(v, 0x30|flags, text("a"), props("")), packets.ProtocolError, "PUBLISH: DUP: ")
		}
		for flags := range byte(16) {
			cl := h.connect(2, v, "hostile")
			cl.SendRaw([]byte{flags, 0}) // there is no packet type 0
			if v == packets.V5 {
				c.code(packets.MalformedPacket, mqtttest.Expect[*packets.Disconnect](cl).ReasonCode)
			}
			cl.ExpectClosed()
			cl.Close()
		}
	}
	for flags := byte(1); flags < 16; flags++ {
		h.refused(packets.V5, "AUTH", rawPacket(packets.V5, 0xF0|flags, 0x19, props("\x15\x00\x01m")), packets.MalformedPacket, "AUTH: Flags: ")
		cl := h.dial(2, packets.V311)
		cl.SendRaw(rawPacket(packets.V311, 0x10|flags, append(head(packets.V311, 2), text("c"))...))
		cl.ExpectClosed()
		cl.Close()
	}
	h.finish()
}

// cutShort sends each packet in every length it does not have.
func cutShort(c *context) {
	h := newHostile(c)
	for _, p := range []struct {
		first byte
		body  []any
		whole map[packets.Version][]int // the lengths, other than all, that make a packet
	}{
		{0x32, []any{text("topic"), u16(7), props("\x01\x01\x26\x00\x01k\x00\x01v"), "pay"}, map[packets.Version][]int{
			packets.V5: {19, 20, 21}, packets.V311: {9, 10, 11}, packets.V31: {9, 10, 11},
		}},
		{0x40, []any{u16(7)}, nil},
		{0x62, []any{u16(7)}, nil},
		{0x82, []any{u16(7), props("\x0b\x05"), text("filter"), 1}, nil},
		{0xA2, []any{u16(7), props("\x26\x00\x01k\x00\x01v"), text("filter")}, nil},
	} {
		for _, v := range versions {
			body := rawBody(v, p.body...)
			for n := range len(body) {
				if contains(p.whole[v], n) {
					continue
				}
				what := fmt.Sprintf("%d of %d bytes", n, len(body))
				raw := append(append([]byte{p.first}, varint(n)...), body[:n]...)
				t := packets.Type(p.first >> 4)
				code := packets.MalformedPacket
				if t == packets.TypeSubscribe || t == packets.TypeUnsubscribe {
					if n == len(rawBody(v, p.body[:2]...)) {
						code = packets.ProtocolError // nothing is cut, but the list is empty
					}
				}
				h.refused(v, what, raw, code, t.String()+": ")
			}
		}
	}
	for _, p := range []struct {
		first byte
		body  []any
		whole []int
	}{
		{0x40, []any{u16(7), 0x10, props("\x1f\x00\x01r")}, []int{2, 3}},
		{0x50, []any{u16(7), 0x80, props("\x26\x00\x01k\x00\x01v")}, []int{2, 3}},
		{0x62, []any{u16(7), 0x92, props("\x1f\x00\x01r")}, []int{2, 3}},
		{0x70, []any{u16(7), 0x92, props("\x1f\x00\x01r")}, []int{2, 3}},
		{0xE0, []any{0x04, props("\x11\x00\x00\x00\x00\x1f\x00\x01r")}, []int{0, 1}},
	} {
		body := rawBody(packets.V5, p.body...)
		for n := range len(body) {
			if contains(p.whole, n) {
				continue
			}
			raw := append([]byte{p.first, byte(n)}, body[:n]...)
			h.refused(packets.V5, "cut short", raw, packets.MalformedPacket, packets.Type(p.first>>4).String()+": ")
		}
	}
	h.finish()
}

func contains(list []int, n int) bool {
	for _, x := range list {
		if x == n {
			return true
		}
	}
	return false
}

func bytesBehind(c *context) {
	h := newHostile(c)
	for _, v := range versions {
		says := ": Remaining Length: "
		h.refused(v, "PINGREQ", rawPacket(v, 0xC0, 0), packets.MalformedPacket, "PINGREQ"+says)
		if v == packets.V5 {
			for _, first := range []byte{0x40, 0x50, 0x62, 0x70} {
				h.refused(v, "acknowledgement", rawPacket(v, first, u16(1), 0, props(""), 0), packets.MalformedPacket, packets.Type(first>>4).String()+says)
			}
			h.refused(v, "DISCONNECT", rawPacket(v, 0xE0, 0, props(""), 0), packets.MalformedPacket, "DISCONNECT"+says)
			continue
		}
		for _, first := range []byte{0x40, 0x50, 0x62, 0x70} {
			h.refused(v, "acknowledgement", rawPacket(v, first, u16(1), 0), packets.MalformedPacket, "")
		}
		h.refused(v, "DISCONNECT", rawPacket(v, 0xE0, 0), packets.MalformedPacket, "")
	}
	h.finish()
}

func malformedLengths(c *context) {
	h := newHostile(c)
	for _, v := range versions {
		for _, length := range []string{"\x80\x00", "\x80\x80\x00", "\x80\x80\x80\x00", "\x80\x80\x80\x80\x00", "\xff\xff\xff\xff\x7f", "\xff\xff\xff\xff\xff"} {
			for _, first := range []byte{0xC0, 0x30, 0x40, 0xE0} {
				says := packets.Type(first>>4).String() + ": Remaining Length: "
				h.refused(v, "length", append([]byte{first}, length...), packets.MalformedPacket, says)
			}
			h.refusedConnect(v, "length", append([]byte{0x10}, length...), 0, "")
		}
	}
	for _, length := range []string{"\x80\x00", "\x80\x80\x80\x80\x00", "\xff\xff\xff\xff\x7f"} {
		v := packets.V5
		h.refused(v, "property length", rawPacket(v, 0x30, text("a"), length), packets.MalformedPacket, "PUBLISH: Property Length: ")
		h.refused(v, "property length", rawPacket(v, 0x82, u16(1), length, text("a"), 0), packets.MalformedPacket, "SUBSCRIBE: Property Length: ")
		h.refused(v, "identifier", rawPacket(v, 0x82, u16(1), props("\x0b"+length), text("a"), 0), packets.MalformedPacket, "SUBSCRIBE: Subscription Identifier: ")
	}
	for _, beyond := range []int{1, 2, 100, 200} { // than there are bytes
		h.refused(packets.V5, "property length", rawPacket(packets.V5, 0x30, text("a"), string(varint(beyond))), packets.MalformedPacket, "PUBLISH: Property Length: ")
		h.refused(packets.V5, "text length", rawPacket(packets.V5, 0x30, u16(beyond), ""), packets.MalformedPacket, "PUBLISH: Topic Name: ")
	}
	h.finish()
}

// badTexts are what a UTF-8 Encoded String must not be.
var badTexts = map[string]string{
	"a continuation alone": "\x80", "a lone start": "a\xc3", "cut in the middle": "a\xe2\x82", "cut before ASCII": "\xe2\x82a", "overlong slash": "\xc0\xaf",
	"overlong NUL": "\xc0\x80", "overlong in three": "\xe0\x80\xaf", "overlong in four": "\xf0\x80\x80\xaf", "first surrogate": "\xed\xa0\x80",
	"last surrogate": "\xed\xbf\xbf", "a surrogate pair": "\xed\xa0\x81\xed\xb0\x80", "beyond U+10FFFF": "\xf4\x90\x80\x80", "five bytes": "\xf8\x88\x80\x80\x80",
	"FE": "\xfe", "FF": "aaaaaaaa\xff", "NUL": "\x00", "NUL inside": "a\x00b", "NUL behind a wide character": "é\x00", "NUL at the end of many": "aaaaaaaaaaaaaaaa\x00",
}

func malformedText(c *context) {
	h := newHostile(c)
	m := packets.MalformedPacket
	for what, bad := range badTexts {
		for _, v := range versions {
			h.refused(v, what, rawPacket(v, 0x30, text(bad), props("")), m, "PUBLISH: Topic Name: ")
			h.refused(v, what, rawPacket(v, 0x82, u16(1), props(""), text(bad), 0), m, "SUBSCRIBE: Topic Filter: ")
			h.refused(v, what, rawPacket(v, 0xA2, u16(1), props(""), text(bad)), m, "UNSUBSCRIBE: Topic Filter: ")
		}
		v := packets.V5
		property := func(id byte, s string) props { return props(rawBody(v, id, text(s))) }
		pair := func(k, s string) props { return props(rawBody(v, 0x26, text(k), text(s))) }
		h.refused(v, what, rawPacket(v, 0x30, text("a"), property(0x08, bad)), m, "PUBLISH: Response Topic: ")
		h.refused(v, what, rawPacket(v, 0x30, text("a"), property(0x03, bad)), m, "PUBLISH: Content Type: ")
		h.refused(v, what, rawPacket(v, 0x30, text("a"), pair(bad, "v")), m, "PUBLISH: User Property: ")
		h.refused(v, what, rawPacket(v, 0x30, text("a"), pair("k", bad)), m, "PUBLISH: User Property: ")
		h.refused(v, what, rawPacket(v, 0x40, u16(1), 0, property(0x1f, bad)), m, "PUBACK: Reason String: ")
		h.refused(v, what, rawPacket(v, 0xE0, 0, property(0x1f, bad)), m, "DISCONNECT: Reason String: ")
	}
	h.finish()
}

func malformedConnectText(c *context) {
	h := newHostile(c)
	m := packets.MalformedPacket
	for what, bad := range badTexts {
		for _, v := range versions {
			h.refusedConnect(v, what, rawConnect(v, 0x02, "", text(bad)), m, "CONNECT: Client Identifier: ")
			h.refusedConnect(v, what, rawConnect(v, 0x06, "", text("c"), props(""), text(bad), text("")), m, "CONNECT: Will Topic: ")
			h.refusedConnect(v, what, rawConnect(v, 0x82, "", text("c"), text(bad)), m, "CONNECT: User Name: ")
		}
		v := packets.V5
		h.refusedConnect(v, what, rawConnect(v, 0x02, props(rawBody(v, 0x15, text(bad))), text("c")), m, "CONNECT: Authentication Method: ")
		h.refusedConnect(v, what, rawConnect(v, 0x02, props(rawBody(v, 0x26, text("k"), text(bad))), text("c")), m, "CONNECT: User Property: ")
		h.refusedConnect(v, what, rawConnect(v, 0x06, "", text("c"), props(rawBody(v, 0x03, text(bad))), text("w"), text("")), m, "CONNECT: Content Type: ")
	}
	h.finish()
}

func malformedConnect(c *context) {
	h := newHostile(c)
	m, id := packets.MalformedPacket, text("c")
	for _, v := range versions {
		if v > packets.V31 { // which does not say what the flag must be
			h.refusedConnect(v, "the reserved flag", rawConnect(v, 0x03, "", id), m, "CONNECT: Connect Flags: ")
		}
		for qos := byte(1); qos < 4; qos++ {
			h.refusedConnect(v, "Will QoS without a will", rawConnect(v, 0x02|qos<<3, "", id), m, "CONNECT: Will QoS: ")
		}
		h.refusedConnect(v, "Will Retain without a will", rawConnect(v, 0x22, "", id), m, "CONNECT: Will Retain: ")
		h.refusedConnect(v, "Will QoS 3", rawConnect(v, 0x1e, "", id, props(""), text("w"), text("")), m, "CONNECT: Will QoS: ")
		for _, wildcard := range []text{"#", "+", "a/#", "a/+/b", "a#"} {
			h.refusedConnect(v, "a wildcard", rawConnect(v, 0x06, "", id, props(""), wildcard, text("")), packets.TopicNameInvalid, "CONNECT: Will Topic: ")
		}
		h.refusedConnect(v, "an empty Will Topic", rawConnect(v, 0x06, "", id, props(""), text(""), text("")), packets.ProtocolError, "CONNECT: Will Topic: ")
		h.refusedConnect(v, "a will, a User Name and a Password that are not announced", rawConnect(v, 0x02, "", id, text("w"), text("")), m, "CONNECT: Remaining Length: ")
		h.refusedConnect(v, "a User Name that is not announced", rawConnect(v, 0x02, "", id, text("user")), m, "CONNECT: Remaining Length: ")
		h.refusedConnect(v, "a Password that is not announced", rawConnect(v, 0x82, "", id, text("user"), text("password")), m, "CONNECT: Remaining Length: ")
		h.refusedConnect(v, "no Client Identifier", rawConnect(v, 0x02, ""), m, "CONNECT: Client Identifier: ")
		if v != packets.V5 {
			h.refusedConnect(v, "a Password without User Name", rawConnect(v, 0x42, "", id, text("password")), m, "")
		}
		if v != packets.V31 { // which lets the last fields be left out
			h.refusedConnect(v, "no User Name", rawConnect(v, 0x82, "", id), m, "CONNECT: User Name: ")
			h.refusedConnect(v, "no Password", rawConnect(v, 0xc2, "", id, text("user")), m, "CONNECT: Password: ")
		}
	}
	// Version 5 allows a Password without User Name.
	cl := c.dial(0, packets.V5)
	cl.SendRaw(rawConnect(packets.V5, 0x42, "", id, text("password")))
	c.code(packets.Success, mqtttest.Expect[*packets.ConnAck](cl).ReasonCode)
	h.finish()
}

func connectCutShort(c *context) {
	h := newHostile(c)
	for _, v := range versions {
		pieces := append(head(v, 0xce|0x20), props("\x21\x00\x05\x26\x00\x01k\x00\x01v"), text("client"), props("\x01\x01"), text("will"), text("gone"), text("user"), text("password"))
		body := rawBody(v, pieces...)
		withoutUser := len(rawBody(v, pieces[:len(pieces)-2]...))
		withoutPassword := len(rawBody(v, pieces[:len(pieces)-1]...))
		known := len(rawBody(v, pieces[:2]...)) // the version is known from here on
		for n := range len(body) {
			if v == packets.V31 && (n == withoutUser || n == withoutPassword) {
				continue // which that version asks servers to accept
			}
			code := packets.MalformedPacket
			if n < known {
				code = 0
			}
			h.refusedConnect(v, fmt.Sprintf("%d of %d bytes", n, len(body)), append(append([]byte{0x10}, varint(n)...), body[:n]...), code, "CONNECT: ")
		}
	}
	h.finish()
}

func protocolNames(c *context) {
	h := newHostile(c)
	expect := func(name text, level byte) {
		c.Helper()
		cl := c.dial(0, packets.V311)
		cl.SendRaw(rawPacket(packets.V311, 0x10, name, level, 2, u16(0), text("c")))
		cl.ExpectBytes(0x20, 2, 0, 1) // in the oldest form, since nobody knows what the client understands
		cl.ExpectClosed()
		cl.Close()
		h.undisturbed()
	}
	for _, name := range []text{"", "M", "mqtt", "Mqtt", "MQT", "MQTTT", "MQTT ", "MQIsdq", "MQISDP", "HTTP", "\ufeffMQTT"} {
		for _, level := range []byte{3, 4, 5} {
			expect(name, level)
		}
	}
	for _, level := range []byte{0, 1, 2, 3, 6, 7, 0x83, 0x85, 0x86, 0xff} {
		expect("MQTT", level)
	}
	for _, level := range []byte{0, 1, 2, 4, 0x82, 0x84} {
		expect("MQIsdp", level)
	}
	cl := c.dial(0, packets.V5) // the old name with the new level: the level says what the client understands
	cl.SendRaw(rawPacket(packets.V5, 0x10, text("MQIsdp"), 5, 2, u16(0), props(""), text("c")))
	ack := cl.Next().(*packets.ConnAck)
	h.explained("MQIsdp 5", nil, packets.UnsupportedProtocolVersion, "CONNECT: Protocol Version: ", ack.ReasonCode, &ack.Properties)
	cl.ExpectClosed()
	h.finish()
}

func malformedFields(c *context) {
	h := newHostile(c)
	m, p := packets.MalformedPacket, packets.ProtocolError
	for _, v := range versions {
		const id0 = ": Packet Identifier: "
		h.refused(v, "identifier 0", rawPacket(v, 0x32, text("a"), u16(0), props("")), p, "PUBLISH"+id0)
		h.refused(v, "identifier 0", rawPacket(v, 0x34, text("a"), u16(0), props("")), p, "PUBLISH"+id0)
		h.refused(v, "identifier 0", rawPacket(v, 0x82, u16(0), props(""), text("a"), 0), p, "SUBSCRIBE"+id0)
		h.refused(v, "identifier 0", rawPacket(v, 0xA2, u16(0), props(""), text("a")), p, "UNSUBSCRIBE"+id0)
		for _, first := range []byte{0x40, 0x50, 0x62, 0x70} {
			h.refused(v, "identifier 0", rawPacket(v, first, u16(0)), p, packets.Type(first>>4).String()+id0)
		}
		for _, topic := range []text{"#", "+", "a/#", "+/a", "a+", "aaaaaaaaaaaaaaaa#", "é+"} {
			h.refused(v, "a wildcard", rawPacket(v, 0x30, topic, props("")), packets.TopicNameInvalid, "PUBLISH: Topic Name: ")
		}
		h.refused(v, "an empty topic", rawPacket(v, 0x30, text(""), props("")), p, "PUBLISH: Topic Name: ")
		h.refused(v, "an empty topic", rawPacket(v, 0x32, text(""), u16(1), props("")), p, "PUBLISH: Topic Name: ")
		h.refused(v, "no filter", rawPacket(v, 0x82, u16(1), props("")), p, "SUBSCRIBE: Topic Filter: ")
		h.refused(v, "no filter", rawPacket(v, 0xA2, u16(1), props("")), p, "UNSUBSCRIBE: Topic Filter: ")
		h.refused(v, "an empty filter", rawPacket(v, 0x82, u16(1), props(""), text(""), 0), p, "SUBSCRIBE: Topic Filter: ")
		h.refused(v, "an empty filter behind another", rawPacket(v, 0x82, u16(1), props(""), text("a"), 0, text(""), 0), p, "SUBSCRIBE: Topic Filter: ")
		h.refused(v, "an empty filter", rawPacket(v, 0xA2, u16(1), props(""), text("")), p, "UNSUBSCRIBE: Topic Filter: ")
		h.refused(v, "no options", rawPacket(v, 0x82, u16(1), props(""), text("a")), m, "SUBSCRIBE: Subscription Options: ")
		for options := range 256 {
			raw := rawPacket(v, 0x82, u16(1), props(""), text("b"), 0, text("a"), options)
			switch {
			case v != packets.V5 && options <= 2, v == packets.V5 && options < 0x30 && options&3 != 3:
				continue // which are right
			case v != packets.V5 || options >= 0x40:
				h.refused(v, "options", raw, m, "SUBSCRIBE: Subscription Options: ")
			case options&3 == 3:
				h.refused(v, "options", raw, p, "SUBSCRIBE: Maximum QoS: ")
			default:
				h.refused(v, "options", raw, p, "SUBSCRIBE: Retain Handling: ")
			}
		}
	}
	v := packets.V5
	h.refused(v, "No Local and shared", rawPacket(v, 0x82, u16(1), props(""), text("$share/g/t"), 4), p, "SUBSCRIBE: No Local: ")
	h.refused(v, "alias 0", rawPacket(v, 0x30, text("a"), props("\x23\x00\x00")), packets.TopicAliasInvalid, "PUBLISH: Topic Alias: ")
	h.refused(v, "alias too great", rawPacket(v, 0x30, text("a"), props("\x23\xff\xff")), packets.TopicAliasInvalid, "PUBLISH: Topic Alias: ")
	h.refused(v, "alias of nothing", rawPacket(v, 0x30, text(""), props("\x23\x00\x01")), p, "PUBLISH: Topic Alias: ")
	h.refused(v, "Subscription Identifier", rawPacket(v, 0x30, text("a"), props("\x0b\x01")), p, "PUBLISH: Subscription Identifier: ")
	for _, wildcard := range []text{"#", "+", "a/+/b"} {
		h.refused(v, "a wildcard", rawPacket(v, 0x30, text("a"), props(rawBody(v, 0x08, wildcard))), p, "PUBLISH: Response Topic: ")
	}
	h.refused(v, "an empty Response Topic", rawPacket(v, 0x30, text("a"), props("\x08\x00\x00")), p, "PUBLISH: Response Topic: ")
	h.refused(v, "a session that is to grow", rawPacket(v, 0xE0, 0, props("\x11\x00\x00\x00\x01")), p, "DISCONNECT: Session Expiry Interval: ")
	h.refused(v, "AUTH", rawPacket(v, 0xF0, 0x19, props("\x15\x00\x01m")), p, "AUTH: ")
	for _, old := range versions[:2] {
		h.refused(old, "AUTH", rawPacket(old, 0xF0, 0x19, "\x04\x15\x00\x01m"), p, "")
		h.refused(old, "AUTH", []byte{0xF0, 0}, p, "")
	}
	h.finish()
}

// The reason codes that clients may send, by packet (section 2.4 and those of the packets).
var clientCodes = map[byte][]int{
	0x40: {0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99},
	0x50: {0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99},
	0x62: {0x00, 0x92},
	0x70: {0x00, 0x92},
	0xE0: {
		0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x8c,
		// Those of servers are accepted, too: a client that sends one leaves in any case.
		0x87, 0x89, 0x8b, 0x8d, 0x8e, 0x8f, 0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f, 0xa0, 0xa1, 0xa2,
	},
}

func foreignReasonCodes(c *context) {
	h := newHostile(c)
	for first, known := range clientCodes {
		alive := c.v5(0, "alive")
		for code := range 256 {
			raw := rawPacket(packets.V5, first, u16(1), code)
			if first == 0xE0 {
				raw = rawPacket(packets.V5, first, code)
			}
			if !contains(known, code) {
				h.refused(packets.V5, "reason code", raw, packets.ProtocolError, packets.Type(first>>4).String()+": Reason Code: ")
			} else if first != 0xE0 {
				alive.SendRaw(raw)
			}
		}
		alive.Manual = true
		alive.Send(&packets.PingReq{})
		for p := alive.Next(); p.Type() != packets.TypePingResp; p = alive.Next() {
			require.Contains(c, []packets.Type{packets.TypePubRel, packets.TypePubComp}, p.Type()) // the answers to PUBREC and PUBREL
		}
		alive.Disconnect()
	}
	h.finish()
}

// property is a row of the specification's table 2-4.
type property struct {
	id    byte
	value string
	in    string // the places a client may use it: C CONNECT, W will, P PUBLISH, A the acknowledgements, S SUBSCRIBE, U UNSUBSCRIBE, D DISCONNECT
	name  string
}

var allProperties = []property{
	{0x01, "\x01", "PW", "Payload Format Indicator"},
	{0x02, "\x00\x00\x00\x01", "PW", "Message Expiry Interval"},
	{0x03, "\x00\x01a", "PW", "Content Type"},
	{0x08, "\x00\x01a", "PW", "Response Topic"},
	{0x09, "\x00\x01a", "PW", "Correlation Data"},
	{0x0b, "\x01", "S", "Subscription Identifier"},
	{0x11, "\x00\x00\x00\x00", "CD", "Session Expiry Interval"},
	{0x12, "\x00\x01a", "", "Assigned Client Identifier"},
	{0x13, "\x00\x01", "", "Server Keep Alive"},
	{0x15, "\x00\x01a", "C", "Authentication Method"},
	{0x16, "\x00\x01a", "C", "Authentication Data"},
	{0x17, "\x01", "C", "Request Problem Information"},
	{0x18, "\x00\x00\x00\x01", "W", "Will Delay Interval"},
	{0x19, "\x01", "C", "Request Response Information"},
	{0x1a, "\x00\x01a", "", "Response Information"},
	{0x1c, "\x00\x01a", "D", "Server Reference"},
	{0x1f, "\x00\x01a", "AD", "Reason String"},
	{0x21, "\x00\x01", "C", "Receive Maximum"},
	{0x22, "\x00\x01", "C", "Topic Alias Maximum"},
	{0x23, "\x00\x01", "P", "Topic Alias"},
	{0x24, "\x01", "", "Maximum QoS"},
	{0x25, "\x01", "", "Retain Available"},
	{0x26, "\x00\x01k\x00\x01v", "CWPASUD", "User Property"},
	{0x27, "\x00\x01\x00\x00", "C", "Maximum Packet Size"},
	{0x28, "\x01", "", "Wildcard Subscription Available"},
	{0x29, "\x01", "", "Subscription Identifier Available"},
	{0x2a, "\x01", "", "Shared Subscription Available"},
}

func (p *property) bytes() props { return props(string(rune(p.id)) + p.value) }

// places are the packets that a client puts properties into.
var places = []struct {
	letter string
	packet string
	make   func(p props) []byte
}{
	{"P", "PUBLISH", func(p props) []byte { return rawPacket(packets.V5, 0x30, text("a"), p) }},
	{"A", "PUBACK", func(p props) []byte { return rawPacket(packets.V5, 0x40, u16(1), 0, p) }},
	{"A", "PUBREC", func(p props) []byte { return rawPacket(packets.V5, 0x50, u16(1), 0x80, p) }},
	{"A", "PUBREL", func(p props) []byte { return rawPacket(packets.V5, 0x62, u16(1), 0, p) }},
	{"A", "PUBCOMP", func(p props) []byte { return rawPacket(packets.V5, 0x70, u16(1), 0, p) }},
	{"S", "SUBSCRIBE", func(p props) []byte { return rawPacket(packets.V5, 0x82, u16(1), p, text("z"), 0) }},
	{"U", "UNSUBSCRIBE", func(p props) []byte { return rawPacket(packets.V5, 0xA2, u16(1), p, text("z")) }},
	{"D", "DISCONNECT", func(p props) []byte { return rawPacket(packets.V5, 0xE0, 0, p) }},
	{"C", "CONNECT", func(p props) []byte { return rawConnect(packets.V5, 2, p, text("c")) }},
	{"W", "CONNECT", func(p props) []byte { return rawConnect(packets.V5, 6, "", text("c"), p, text("w"), text("")) }},
}

// each calls bad with every property that the place may not have, and good with every one it may have.
func eachProperty(letter string, good, bad func(p *property)) {
	for i := range allProperties {
		p := &allProperties[i]
		if strings.Contains(p.in, letter) {
			good(p)
		} else {
			bad(p)
		}
	}
}

// foreignProperties sends all properties in all packets.
func foreignProperties(c *context) {
	h := newHostile(c)
	for _, place := range places {
		alive := c.v5(0, "alive")
		eachProperty(place.letter, func(p *property) {
			raw := place.make(p.bytes())
			switch place.letter {
			case "C", "W":
				cl := c.dial(2, packets.V5)
				cl.SendRaw(raw)
				want := packets.Success
				switch p.name {
				case "Authentication Method":
					want = packets.BadAuthenticationMethod
				case "Authentication Data": // without a method
					want = packets.ProtocolError
				}
				ack := cl.Next().(*packets.ConnAck)
				require.Equal(c, want, ack.ReasonCode, "%s: %s", p.name, ack.Properties.ReasonString.Value)
				cl.Close()
			case "D":
				cl := c.v5(2, "leaves")
				cl.SendRaw(raw)
				cl.ExpectClosed()
				cl.Close()
			default:
				alive.SendRaw(raw)
			}
		}, func(p *property) {
			what := p.name + " in " + place.packet
			if p.name == "Subscription Identifier" && place.packet == "PUBLISH" {
				h.refused(packets.V5, what, place.make(p.bytes()), packets.ProtocolError, "PUBLISH: Subscription Identifier: ")
				return
			}
			field := ": " + p.name + ": "
			if place.letter == "W" {
				field = ": Will Properties, " + p.name + ": "
			}
			h.refusedAt(place.packet, what, place.make(p.bytes()), packets.MalformedPacket, place.packet+field)
		})
		for _, unknown := range []string{"\x00", "\x04", "\x05", "\x0a", "\x10", "\x14", "\x1b", "\x1d", "\x20", "\x2b", "\x7f", "\x80\x01", "\xff\xff\xff\x7f"} {
			h.refusedAt(place.packet, "unknown property", place.make(props(unknown+"\x01")), packets.MalformedPacket, place.packet+": Property Identifier: ")
		}
		for _, long := range []string{"\x81\x00\x01", "\x80\x80\x80\x80\x01"} {
			h.refusedAt(place.packet, "identifier", place.make(props(long)), packets.MalformedPacket, place.packet+": Property Identifier: ")
		}
		alive.Manual = true
		alive.Send(&packets.PingReq{})
		for alive.Next().Type() != packets.TypePingResp {
		}
		alive.Disconnect()
	}
	h.finish()
}

// refusedAt is refused or refusedConnect, as the packet asks for.
func (h *hostile) refusedAt(packet, what string, raw []byte, code packets.ReasonCode, says string) {
	h.Helper()
	if packet == "CONNECT" {
		h.refusedConnect(packets.V5, what, raw, code, says)
		return
	}
	h.refused(packets.V5, what, raw, code, says)
}

func propertiesTwice(c *context) {
	h := newHostile(c)
	for _, place := range places {
		eachProperty(place.letter, func(p *property) {
			twice := p.bytes() + p.bytes()
			if p.name == "User Property" {
				return // the one that may be there twice
			}
			field := ": " + p.name + ": "
			if place.letter == "W" {
				field = ": Will Properties, " + p.name + ": "
			}
			h.refusedAt(place.packet, p.name+" twice", place.make(twice), packets.ProtocolError, place.packet+field)
		}, func(*property) {})
	}
	h.finish()
}

func propertyValues(c *context) {
	h := newHostile(c)
	carriers := make(map[string]func(p props) []byte)
	for _, place := range places {
		carriers[place.letter+place.packet] = place.make
	}
	for _, bad := range []struct {
		at    string
		value props
		field string
	}{
		{"PPUBLISH", "\x01\x02", "Payload Format Indicator"},
		{"PPUBLISH", "\x01\xff", "Payload Format Indicator"},
		{"WCONNECT", "\x01\x02", "Will Properties, Payload Format Indicator"},
		{"CCONNECT", "\x17\x02", "Request Problem Information"},
		{"CCONNECT", "\x17\xff", "Request Problem Information"},
		{"CCONNECT", "\x19\x02", "Request Response Information"},
		{"CCONNECT", "\x19\xff", "Request Response Information"},
		{"CCONNECT", "\x21\x00\x00", "Receive Maximum"},
		{"CCONNECT", "\x27\x00\x00\x00\x00", "Maximum Packet Size"},
		{"CCONNECT", "\x16\x00\x00", "Authentication Data"},
		{"SSUBSCRIBE", "\x0b\x00", "Subscription Identifier"},
	} {
		packet := bad.at[1:]
		h.refusedAt(packet, bad.field, carriers[bad.at](bad.value), packets.ProtocolError, packet+": "+bad.field+": ")
	}
	// Every property cut short, by the end of the properties.
	for _, place := range places {
		eachProperty(place.letter, func(p *property) {
			whole := p.bytes()
			for n := 1; n < len(whole); n++ {
				h.refusedAt(place.packet, p.name+" cut short", place.make(whole[:n]), packets.MalformedPacket, place.packet+": "+p.name+": ")
			}
		}, func(*property) {})
	}
	h.finish()
}

func serverPackets(c *context) {
	h := newHostile(c)
	for _, v := range versions {
		for first, raw := range map[byte][]byte{
			0x20: rawPacket(v, 0x20, 0, 0, props("")), 0x90: rawPacket(v, 0x90, u16(1), props(""), 0), 0xB0: rawPacket(v, 0xB0, u16(1), props("")), 0xD0: {0xD0, 0},
		} {
			h.refused(v, "of servers", raw, packets.ProtocolError, packets.Type(first>>4).String()+": ")
		}
	}
	h.finish()
}

// beforeConnect sends what is right later. Nothing is answered: there is no connection yet to be told of on.
func beforeConnect(c *context) {
	h := newHostile(c)
	for _, v := range versions {
		for _, raw := range [][]byte{
			rawPacket(v, 0x20, 0, 0, props("")), rawPacket(v, 0x30, text("bystander"), props("")), rawPacket(v, 0x40, u16(1)), rawPacket(v, 0x50, u16(1)),
			rawPacket(v, 0x62, u16(1)), rawPacket(v, 0x70, u16(1)), rawPacket(v, 0x82, u16(1), props(""), text("a"), 0),
			rawPacket(v, 0xA2, u16(1), props(""), text("a")),
			{0xC0, 0},
			{0xD0, 0},
			{0xE0, 0},
			{0xF0, 0},
			{0x00, 0},
			{0x0f, 0},
			[]byte("GET / HTTP/1.1\r\n\r\n"),
			{0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03},
		} {
			cl := c.dial(2, v)
			cl.SendRaw(raw)
			cl.ExpectClosed()
			cl.Close()
			h.undisturbed()
		}
	}
	h.finish()
}
