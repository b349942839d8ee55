package shoal_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/metrics"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/internal/mqtttest"
	"github.com/shoalmq/shoal/packets"
)

// FuzzConnection lets clients that obey no rule loose on a broker, in virtual time: sequences of packets that are right, of packets that
// were damaged, and of plain bytes, over several connections that may use the same Client Identifier. Whatever they send, nothing panics, what they are sent
// is well-formed, memory stays in proportion, and two other clients notice nothing.
func FuzzConnection(f *testing.F) {
	for _, script := range fuzzSeeds() {
		f.Add(script)
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) > 4096 {
			return
		}
		before := allocated()
		synctest.Test(t, func(t *testing.T) { fuzzBroker(t, script) })
		// A broker with its clients takes less than a megabyte; what a length field announces must not be in it.
		require.Less(t, allocated()-before, uint64(8<<20+2048*len(script)), "bytes allocated for a script of %d", len(script))
	})
}

// allocated returns the bytes allocated so far.
func allocated() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// fuzzAuth keeps everybody else from publishing to the canaries' topics.
type fuzzAuth struct{}

func (fuzzAuth) Authenticate(_ context.Context, c *shoal.Credentials) (*shoal.Principal, error) {
	return &shoal.Principal{Name: c.UserName}, nil
}

func (fuzzAuth) Authorize(_ context.Context, r *shoal.AccessRequest) error {
	if r.Action == shoal.ActionPublish && strings.HasPrefix(r.Topic, "canary") && r.Principal.Name != "canary" {
		return &shoal.Error{ReasonCode: packets.NotAuthorized}
	}
	return nil
}

// panics fails the test when the broker logs that something panicked.
type panics struct{ t *testing.T }

func (p panics) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelError }
func (p panics) WithAttrs([]slog.Attr) slog.Handler           { return p }
func (p panics) WithGroup(string) slog.Handler                { return p }
func (p panics) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool { text += fmt.Sprintf("\n%s: %v", a.Key, a.Value); return true })
	p.t.Error(text)
	return nil
}

func fuzzBroker(t *testing.T, script []byte) {
	b := startWith(t, shoal.WithAuthenticator(fuzzAuth{}), shoal.WithLogger(slog.New(panics{t})), shoal.WithLimits(shoal.Limits{
		ReceiveMaximum: 8, TopicAliasMaximum: 4, OutboundTopicAliases: 2, InFlight: 4, QueuedMessages: 50, QueuedBytes: 64 << 10, Subscriptions: 20,
		MaximumPacketSize: 64 << 10, OutboxBytes: 16 << 10, QoS0Bytes: 64 << 10,
	}))
	canary := func(id string) *mqtttest.Client {
		conn, err := b.Dial(t.Context())
		require.NoError(t, err)
		cl := mqtttest.New(t, conn, packets.V5)
		cl.Connect(&packets.Connect{ClientID: id, CleanStart: true, UserName: packets.Some("canary")})
		return cl
	}
	sub, pub := canary("canary-sub"), canary("canary-pub")
	sub.Subscribe(1, "canary/#")
	check := func(when string) {
		pub.Publish(1, "canary/x", when)
		sub.ExpectPublish("canary/x", when)
		sub.ExpectQuiet()
	}
	check("before")
	h := &hostile{t: t, b: b, script: script}
	for !h.done() {
		h.step()
	}
	check("after")
	h.close()
	time.Sleep(time.Hour) // wills, expiry
	synctest.Wait()
	require.LessOrEqual(t, b.Metrics().ConnectionsOpen, 2)
}

// hostile plays a script.
type hostile struct {
	t      *testing.T
	b      *shoal.Broker
	script []byte
	conns  [3]*hostileConn
	all    sync.WaitGroup
}

// hostileConn is one connection, whose output is read and checked as it comes.
type hostileConn struct {
	net.Conn
	v packets.Version
}

func (h *hostile) done() bool { return len(h.script) == 0 }

// next takes a byte of the script, 0 at its end.
func (h *hostile) next() byte {
	if len(h.script) == 0 {
		return 0
	}
	b := h.script[0]
	h.script = h.script[1:]
	return b
}

func (h *hostile) take(n int) []byte {
	n = min(n, len(h.script))
	b := h.script[:n]
	h.script = h.script[n:]
	return b
}

// step carries out one instruction: a byte that says what, and on which connection.
func (h *hostile) step() {
	op := h.next()
	c := h.conn(int(op>>6) % len(h.conns))
	switch op & 0x3F {
	case 0x3F:
		time.Sleep(time.Duration(h.next()) * time.Second)
	case 0x3E:
		h.drop(int(op>>6) % len(h.conns))
	case 0x3D:
		c.write(h.take(int(h.next())))
	default:
		c.write(h.damaged(h.packet(c, op&0x1F)))
	}
	synctest.Wait()
}

// conn returns a connection, made when it is first used. Its version and whether it is connected follow from the script.
func (h *hostile) conn(i int) *hostileConn {
	if h.conns[i] != nil {
		return h.conns[i]
	}
	nc, err := h.b.Dial(h.t.Context())
	require.NoError(h.t, err)
	how := h.next()
	c := &hostileConn{nc, []packets.Version{packets.V5, packets.V311, packets.V31, packets.V5}[how&3]}
	h.conns[i] = c
	h.all.Go(func() { h.listen(c) })
	if how&4 == 0 {
		p := &packets.Connect{ProtocolVersion: c.v, ClientID: string(rune('a' + how>>4&3)), CleanStart: how&8 != 0, KeepAlive: uint16(how)}
		if how&0x40 != 0 {
			p.Will = &packets.Will{TopicName: "t/will", QoS: packets.QoS(how & 1), Retain: how&0x80 != 0, Payload: []byte("w")}
		}
		if c.v == packets.V5 {
			p.Properties.SessionExpiryInterval = packets.Some(uint32(how) * 8)
			p.Properties.ReceiveMaximum = packets.Some(uint16(how>>3) + 1)
			p.Properties.TopicAliasMaximum = packets.Some(uint16(how >> 5))
			if how&0x20 != 0 {
				p.Properties.MaximumPacketSize = packets.Some(uint32(20 + how))
			}
		}
		b, err := packets.Append(nil, p, c.v)
		require.NoError(h.t, err)
		c.write(b)
	}
	return c
}

// listen holds that everything the broker sends are packets that a server may send, all of one version: which one, a damaged CONNECT may have
// changed.
func (h *hostile) listen(c *hostileConn) {
	versions := []packets.Version{packets.V31, packets.V311, packets.V5}
	var buf []byte
	for {
		chunk := make([]byte, 4096)
		n, err := c.Read(chunk)
		buf = append(buf, chunk[:n]...)
		for {
			head, perr := packets.ParseFixedHeader(buf)
			if errors.Is(perr, packets.ErrIncomplete) || (perr == nil && len(buf) < head.Size+head.Remaining) {
				break
			}
			require.NoError(h.t, perr)
			body := buf[head.Size : head.Size+head.Remaining]
			buf = buf[head.Size+head.Remaining:]
			versions = slices.DeleteFunc(versions, func(v packets.Version) bool { return !maySend(head, body, v) })
			if len(versions) == 0 {
				h.t.Errorf("the broker sent what it must not: %v % x", head.Type, body)
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// maySend reports whether a server may send a packet in a version.
func maySend(head packets.FixedHeader, body []byte, v packets.Version) bool {
	switch head.Type {
	case packets.TypeConnAck, packets.TypePublish, packets.TypePubAck, packets.TypePubRec, packets.TypePubRel, packets.TypePubComp,
		packets.TypeSubAck, packets.TypeUnsubAck, packets.TypePingResp:
	case packets.TypeDisconnect, packets.TypeAuth:
		if v < packets.V5 {
			return false
		}
	default:
		return false
	}
	p := packets.New(head.Type)
	if p.Decode(head, body, v) != nil {
		return false
	}
	pub, ok := p.(*packets.Publish)
	return !ok || pub.TopicName != "" || pub.Properties.TopicAlias.Set
}

func (c *hostileConn) write(b []byte) {
	_ = c.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = c.Write(b) // the broker may have closed it
}

func (h *hostile) drop(i int) {
	if c := h.conns[i]; c != nil {
		_ = c.Close()
		h.conns[i] = nil
	}
}

func (h *hostile) close() {
	for i := range h.conns {
		h.drop(i)
	}
	h.all.Wait()
}

// packet makes a packet that is right, from the script.
func (h *hostile) packet(c *hostileConn, kind byte) []byte {
	id := uint16(h.next()&7) + 1
	topic := []string{"t", "t/a", "t/a/b", "u"}[h.next()&3]
	filter := []string{"t", "t/#", "+/a", "#", "$share/g/t", "$share/g/#", "u", "$SYS/#"}[h.next()&7]
	flags := h.next()
	var p packets.Packet
	switch kind % 12 {
	case 0, 1, 2:
		pub := &packets.Publish{TopicName: topic, QoS: packets.QoS(kind % 3), PacketID: id, Retain: flags&1 != 0, Dup: flags&2 != 0 && kind%3 > 0, Payload: h.take(int(flags >> 4))}
		if pub.QoS == 0 {
			pub.PacketID = 0
		}
		if c.v == packets.V5 {
			if flags&4 != 0 {
				pub.Properties.TopicAlias = packets.Some(uint16(flags>>4)%5 + 1)
			}
			if flags&8 != 0 {
				pub.Properties.MessageExpiryInterval = packets.Some(uint32(flags))
			}
		}
		p = pub
	case 3:
		s := &packets.Subscribe{PacketID: id, Subscriptions: []packets.Subscription{{TopicFilter: filter, QoS: packets.QoS(flags % 3)}}}
		if c.v == packets.V5 {
			s.Subscriptions[0].RetainHandling = flags >> 2 % 3
			s.Subscriptions[0].RetainAsPublished = flags&0x10 != 0
			s.Subscriptions[0].NoLocal = flags&0x20 != 0 && !strings.HasPrefix(filter, "$share")
			if flags&0x40 != 0 {
				s.Properties.SubscriptionIdentifiers = []uint32{uint32(flags)}
			}
		}
		p = s
	case 4:
		p = &packets.Unsubscribe{PacketID: id, TopicFilters: []string{filter}}
	case 5:
		p = &packets.PubAck{PacketID: id}
	case 6:
		p = &packets.PubRec{PacketID: id}
	case 7:
		p = &packets.PubRel{PacketID: id}
	case 8:
		p = &packets.PubComp{PacketID: id}
	case 9:
		p = new(packets.PingReq)
	case 10:
		p = new(packets.Disconnect)
	case 11:
		p = &packets.Connect{ProtocolVersion: c.v, ClientID: topic, CleanStart: flags&1 != 0}
	}
	b, err := packets.Append(nil, p, c.v)
	require.NoError(h.t, err)
	return b
}

// damaged changes a packet, or leaves it as it is.
func (h *hostile) damaged(b []byte) []byte {
	how := h.next()
	if len(b) == 0 || how < 0x80 {
		return b
	}
	at := int(h.next()) % len(b)
	switch how & 7 {
	case 0:
		b[at] ^= 1 << (how >> 3 & 7)
	case 1:
		b[at] = h.next()
	case 2:
		b = b[:at]
	case 3:
		b = append(b[:at:at], append([]byte{h.next()}, b[at:]...)...)
	case 4:
		b = append(b, b...)
	case 5:
		b = binary.AppendUvarint(b[:1:1], uint64(h.next())<<14) // announces what does not come
	case 6:
		b = append(b[:at:at], b[min(at+1, len(b)):]...)
	case 7:
		b = append(b, h.take(int(how>>3&15))...)
	}
	return b
}

// fuzzSeeds are scripts that a fuzzer would take long to find.
func fuzzSeeds() (scripts [][]byte) {
	publish := func(op, id, topic, flags byte, more ...byte) []byte {
		return append([]byte{op, id, topic, 0, flags}, append(more, 0)...)
	}
	for _, how := range []byte{0x00, 0x01, 0x02, 0x10, 0xF8, 0x20, 0x04} {
		s := []byte{0x09, how, 0, 0, 0, 0, 0} // connects, PINGREQ
		for qos := range byte(3) {
			s = append(s, 0x03, 1, 0, 1, qos, 0)
			s = append(s, publish(qos, 2, 1, 0x11, 'x')...)
		}
		s = append(s,
			0x07, 2, 0, 0, 0, 0, // PUBREL
			0x4B, how, 1, 0, 0, 1, 0, // another connection, then a second CONNECT
			0x40, 1, 1, 0, 0x25, 'a', 'b', 0x85, 3, 9,
			0x3E, 0x3F, 100, 0x0A, how^8, 0, 0, 0, 0, 0)
		scripts = append(scripts, s)
	}
	scripts = append(scripts, []byte{0x3D, 0x04, 12, 0x10, 0xFF, 0xFF, 0xFF, 0x7F, 0, 4, 'M', 'Q', 'T', 'T', 5})
	return scripts
}
