package session

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/internal/outbox"
	"github.com/shoalmq/shoal/packets"
)

// record is a Log that remembers.
type record struct{ events []string }

func (r *record) add(format string, args ...any) {
	r.events = append(r.events, fmt.Sprintf(format, args...))
}

func (r *record) Enqueued(e *Entry)       { r.add("enqueued %s", e.Msg.Payload) }
func (r *record) Sent(e *Entry)           { r.add("sent %s", e.Msg.Payload) }
func (r *record) PubRecReceived(e *Entry) { r.add("pubrec %s", e.Msg.Payload) }
func (r *record) Ended(e *Entry, w Why)   { r.add("%v %s", w, e.Msg.Payload) }
func (r *record) Received(id uint16)      { r.add("received %d", id) }
func (r *record) Completed(id uint16)     { r.add("completed %d", id) }

// take returns what was logged since the last call.
func (r *record) take() []string {
	e := r.events
	r.events = nil
	return e
}

// desk is a session on a test's desk.
type desk struct {
	t   require.TestingT
	s   *Session
	log *record
	out outbox.Buffer
	now int64
	v   packets.Version
}

func newDesk(t require.TestingT, l *Limits) *desk {
	d := &desk{t: t, log: new(record), now: 1}
	d.out.Pool = new(outbox.Pool)
	d.s = New(l, d.log)
	return d
}

func roomy() *Limits {
	return &Limits{QueuedMessages: 1000, QueuedBytes: 1 << 20, ReceiveMaximum: 10, OutboxBytes: 1 << 20}
}

func (d *desk) attach(c Conn) {
	if c.Version == 0 {
		c.Version = packets.V5
	}
	if c.ReceiveMaximum == 0 {
		c.ReceiveMaximum = 65535
	}
	d.v = c.Version
	d.s.Attach(c)
	for _, id := range d.s.Released() {
		d.out.Append(packets.AppendAck(nil, packets.TypePubRel, c.Version, id, packets.Success))
	}
	d.pump()
}

func (d *desk) detach() {
	d.s.Detach()
	d.out.Reset()
}

func (d *desk) pump() { d.s.Pump(&d.out, d.now) }

func message(payload string) *Message {
	return &Message{TopicName: "t", Payload: []byte(payload), QoS: 2}
}

func (d *desk) push(qos packets.QoS, payload string) bool {
	ok := d.s.Push(Entry{Msg: message(payload), QoS: qos})
	d.pump()
	return ok
}

// sent takes everything from the outbox and returns it as packets.
func (d *desk) sent() []packets.Packet {
	var b []byte
	var batch outbox.Batch
	d.out.TakeInto(&batch)
	for _, p := range batch.Bytes {
		b = append(b, p...)
	}
	batch.Release()
	var list []packets.Packet
	for len(b) > 0 {
		h, err := packets.ParseFixedHeader(b)
		require.NoError(d.t, err)
		p := packets.New(h.Type)
		require.NoError(d.t, p.Decode(h, b[h.Size:h.Size+h.Remaining], d.v))
		list = append(list, p)
		b = b[h.Size+h.Remaining:]
	}
	return list
}

// payloads returns the payloads of PUBLISH packets, "+" behind those with DUP, and "rel id" for PUBREL.
func (d *desk) payloads() (got []string) {
	for _, p := range d.sent() {
		switch p := p.(type) {
		case *packets.Publish:
			s := string(p.Payload)
			if p.Dup {
				s += "+"
			}
			got = append(got, s)
		case *packets.PubRel:
			got = append(got, fmt.Sprintf("rel %d", p.PacketID))
		default:
			require.Fail(d.t, "unexpected", "%+v", p)
		}
	}
	return got
}

func (d *desk) expect(want ...string) {
	if t, ok := d.t.(testing.TB); ok {
		t.Helper()
	}
	require.Equal(d.t, want, d.payloads())
}
