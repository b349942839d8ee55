package session

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/shoalmq/shoal/internal/outbox"
	"github.com/shoalmq/shoal/packets"
)

// The model is a session as one would write it without a thought of speed: a slice of messages, looked through from the front every time.

type modelEntry struct {
	m       *Message
	name    string
	qos     packets.QoS
	share   string
	id      uint16
	state   State
	dealt   bool // on this connection
	counted bool
}

type model struct {
	*desk
	limits  *Limits
	queue   []*modelEntry
	on      bool
	conn    Conn
	outLen  int
	aliases map[uint16]string
	ended   []string // what must have been logged
	in      []uint16
	n       int
}

func (m *model) bytes() int {
	n := 0
	for _, e := range m.queue {
		n += e.m.Cost()
	}
	return n
}

func (m *model) end(e *modelEntry, why Why) {
	m.queue = slices.DeleteFunc(m.queue, func(x *modelEntry) bool { return x == e })
	m.ended = append(m.ended, fmt.Sprintf("%v %s", why, e.name))
}

func (m *model) find(id uint16) *modelEntry {
	for _, e := range m.queue {
		if e.id == id && e.id != 0 {
			return e
		}
	}
	return nil
}

func (m *model) inFlight() (n int) {
	for _, e := range m.queue {
		if e.id != 0 {
			n++
		}
	}
	return n
}

// push is what Push should do.
func (m *model) push(e *modelEntry) bool {
	full := func() bool {
		return len(m.queue) > 0 && (len(m.queue) >= m.limits.QueuedMessages || m.bytes()+e.m.Cost() > m.limits.QueuedBytes)
	}
	if full() {
		for _, x := range slices.Clone(m.queue) {
			if x.state == Queued && x.id == 0 && x.m.Expired(m.now) {
				m.end(x, Expired)
			}
		}
	}
	for full() {
		i := slices.IndexFunc(m.queue, func(x *modelEntry) bool { return x.state == Queued })
		if !m.limits.DropOldest || i < 0 || e.m.Cost() > m.limits.QueuedBytes {
			m.ended = append(m.ended, "queue_full "+e.name)
			return false
		}
		m.end(m.queue[i], QueueFull)
	}
	m.queue = append(m.queue, e)
	return true
}

// pump pumps, and holds what came out against what should have.
func (m *model) pump(t *rapid.T) {
	before := m.out.Len()
	m.desk.pump()
	require.Equal(t, m.outLen, before)
	got := m.peek()
	next := func() packets.Packet {
		require.NotEmpty(t, got, "something should have been sent")
		p := got[0]
		got = got[1:]
		b, err := packets.Append(nil, p, m.conn.Version)
		require.NoError(t, err)
		m.outLen += len(b)
		return p
	}
	for _, e := range slices.Clone(m.queue) {
		if !m.on {
			break
		}
		if e.dealt {
			continue
		}
		if e.state == Released {
			e.dealt = true
			continue
		}
		window, bytes := 0, e.m.Cost()
		for _, x := range m.queue {
			if x.counted {
				window++
				bytes += x.m.Cost()
			}
		}
		if window >= m.conn.ReceiveMaximum || m.outLen >= m.limits.OutboxBytes {
			break
		}
		if most := m.limits.InFlightBytes; most > 0 && window > 0 && bytes > most {
			break
		}
		if e.state == Queued && e.m.Expired(m.now) {
			m.end(e, Expired)
			continue
		}
		if m.conn.MaximumPacketSize > 0 && len(e.m.Payload) > m.conn.MaximumPacketSize { // sizes are chosen so that this decides
			m.end(e, TooLarge)
			continue
		}
		m.expectPublish(t, e, next().(*packets.Publish))
	}
	require.Empty(t, got, "more was sent than should have been")
	require.Equal(t, m.outLen, m.out.Len())
}

func (m *model) expectPublish(t *rapid.T, e *modelEntry, p *packets.Publish) {
	topic := p.TopicName
	if alias, ok := p.Properties.TopicAlias.Get(); ok {
		require.LessOrEqual(t, alias, m.conn.TopicAliasMaximum)
		if topic == "" {
			topic = m.aliases[alias]
		} else {
			m.aliases[alias] = topic
		}
	}
	require.Equal(t, e.m.TopicName, topic)
	require.Equal(t, string(e.m.Payload), string(p.Payload))
	require.Equal(t, e.qos, p.QoS)
	require.Equal(t, e.state == Sent, p.Dup, "DUP of %s", e.name)
	if e.id == 0 {
		require.Nil(t, m.find(p.PacketID), "identifier %d is in use", p.PacketID)
		e.id = p.PacketID
	}
	require.Equal(t, e.id, p.PacketID)
	e.state, e.dealt, e.counted = Sent, true, true
}

// peek returns what is in the outbox beyond what was seen, leaving it all there.
func (m *model) peek() []packets.Packet {
	list := m.sent()
	for _, p := range list {
		b, err := packets.Append(nil, p, m.conn.Version)
		require.NoError(m.t, err)
		m.out.Append(b)
	}
	size := 0
	for i, p := range list {
		if size == m.outLen {
			return list[i:]
		}
		b, _ := packets.Append(nil, p, m.conn.Version)
		size += len(b)
	}
	return nil
}

func (m *model) check(t *rapid.T) {
	require.Equal(t, len(m.queue), m.s.Len())
	require.Equal(t, m.bytes(), m.s.Bytes())
	require.Equal(t, m.inFlight(), m.s.InFlight())
	var names, want []string
	m.s.Entries(func(e *Entry) { names = append(names, fmt.Sprintf("%s %d %d", e.Msg.Payload[:6], e.PacketID, e.State)) })
	for _, e := range m.queue {
		want = append(want, fmt.Sprintf("%s %d %d", e.name, e.id, e.state))
	}
	require.Equal(t, want, names)
	for n := range m.n {
		id := ID{Number: uint64(n + 1)}
		i := slices.IndexFunc(m.queue, func(e *modelEntry) bool { return e.m.ID == id })
		require.Equal(t, i >= 0, m.s.Has(id))
		require.Equal(t, i >= 0 && m.queue[i].share == "g", m.s.HasShared(id, "g"))
	}
	var ended []string
	for _, e := range m.log.take() {
		why, name, _ := strings.Cut(e, " ")
		switch why {
		case "enqueued", "sent", "pubrec", "received", "completed":
		default:
			ended = append(ended, why+" "+name[:6])
		}
	}
	require.Equal(t, m.ended, ended)
	m.ended = nil
	require.ElementsMatch(t, m.in, m.s.Unreleased())
}

// step does one thing at random to both.
func (m *model) step(t *rapid.T) {
	switch rapid.SampledFrom([]string{
		"push", "push", "push", "push", "ack", "ack", "ack", "rec", "comp", "stray", "detach", "attach", "attach", "drain", "drain", "time",
		"withdraw", "receive", "release", "restart",
	}).Draw(t, "step") {
	case "push":
		m.n++
		e := &modelEntry{name: fmt.Sprintf("%06d", m.n), qos: packets.QoS(rapid.IntRange(1, 2).Draw(t, "QoS"))}
		size := rapid.SampledFrom([]int{0, 0, 30, 600, 5000}).Draw(t, "size")
		e.m = &Message{
			ID: ID{Number: uint64(m.n)}, TopicName: rapid.SampledFrom([]string{"t", "u", "v"}).Draw(t, "topic"), Payload: []byte(e.name + strings.Repeat("x", size)), QoS: 2,
		}
		if rapid.IntRange(0, 3).Draw(t, "expires") == 0 {
			e.m.Expires = m.now + int64(rapid.IntRange(0, 20).Draw(t, "in"))*second + 1
		}
		e.share = rapid.SampledFrom([]string{"", "g"}).Draw(t, "share")
		want := m.push(e)
		m.s.Expire(e.m, m.now)
		require.Equal(t, want, m.s.Push(Entry{Msg: e.m, QoS: e.qos, Share: e.share}))
	case "ack", "rec", "comp":
		m.acknowledge(t)
	case "stray":
		id := rapid.Uint16Range(1, 65535).Draw(t, "id")
		if m.find(id) == nil && m.on {
			require.False(t, m.s.PubAck(id, 0))
			require.False(t, m.s.PubComp(id))
		}
	case "detach":
		if m.on {
			m.desk.detach()
			m.on, m.outLen = false, 0
		}
	case "attach":
		m.connect(t)
	case "drain":
		m.sent()
		m.outLen = 0
	case "time":
		m.now += int64(rapid.IntRange(1, 10).Draw(t, "seconds")) * second
	case "withdraw":
		m.withdraw(t)
	case "receive":
		id := uint16(rapid.IntRange(1, 5).Draw(t, "id"))
		_, duplicate := m.s.Pending(id)
		require.Equal(t, slices.Contains(m.in, id), duplicate)
		if !duplicate {
			m.in = append(m.in, id)
		}
		m.s.Receive(id)
	case "release":
		id := uint16(rapid.IntRange(1, 5).Draw(t, "id"))
		require.Equal(t, slices.Contains(m.in, id), m.s.Release(id))
		m.in = slices.DeleteFunc(m.in, func(x uint16) bool { return x == id })
	case "restart":
		m.restart()
	}
	m.pump(t)
	m.check(t)
}

// acknowledge answers a message in flight on this connection with what comes next for it.
func (m *model) acknowledge(t *rapid.T) {
	var open []*modelEntry
	for _, e := range m.queue {
		if e.id != 0 && e.dealt {
			open = append(open, e)
		}
	}
	if !m.on || len(open) == 0 {
		return
	}
	e := rapid.SampledFrom(open).Draw(t, "message")
	code := rapid.SampledFrom([]packets.ReasonCode{0, 0, 0, packets.QuotaExceeded}).Draw(t, "code")
	why := Acknowledged
	if code.IsError() {
		why = Refused
	}
	switch {
	case e.qos == 1:
		require.True(t, m.s.PubAck(e.id, code))
		m.end(e, why)
	case e.state == Released && code == 0:
		require.True(t, m.s.PubComp(e.id))
		m.end(e, Acknowledged)
	case code.IsError():
		before := m.out.Len()
		m.s.PubRec(&m.out, e.id, code)
		require.Equal(t, before, m.out.Len())
		if e.state == Sent {
			m.end(e, Refused)
		}
	default:
		m.s.PubRec(&m.out, e.id, 0)
		got := m.peek()
		require.Len(t, got, 1)
		require.Equal(t, e.id, got[0].(*packets.PubRel).PacketID)
		m.outLen = m.out.Len()
		e.state = Released
	}
}

func (m *model) connect(t *rapid.T) {
	if m.on {
		m.desk.detach()
	}
	m.conn = Conn{
		Version:           rapid.SampledFrom([]packets.Version{packets.V31, packets.V311, packets.V5}).Draw(t, "version"),
		ReceiveMaximum:    rapid.SampledFrom([]int{1, 2, 5, 1024}).Draw(t, "receive maximum"),
		MaximumPacketSize: rapid.SampledFrom([]int{0, 0, 2000}).Draw(t, "maximum packet size"),
	}
	if m.conn.Version == packets.V5 {
		m.conn.TopicAliasMaximum = rapid.SampledFrom([]uint16{0, 1, 10}).Draw(t, "topic alias maximum")
	}
	m.on, m.outLen, m.aliases, m.v = true, 0, make(map[uint16]string), m.conn.Version
	var released []uint16
	for _, e := range m.queue {
		e.dealt, e.counted = false, false
		if e.state == Released {
			released = append(released, e.id)
		}
	}
	m.s.Attach(m.conn)
	require.Equal(t, released, m.s.Released())
}

func (m *model) withdraw(t *rapid.T) {
	chosen := func(share string, s State) bool { return share == "g" && s != Released }
	var want, got []string
	m.queue = slices.DeleteFunc(m.queue, func(e *modelEntry) bool {
		if chosen(e.share, e.state) {
			want = append(want, e.name)
			return true
		}
		return false
	})
	lent := m.s.Lend(func(e *Entry) bool { return chosen(e.Share, e.State) })
	for _, e := range lent {
		got = append(got, string(e.Msg.Payload[:6]))
	}
	for left, given := len(lent), make(map[int]bool); left > 0; {
		i := rapid.IntRange(0, len(lent)-1).Draw(t, "given")
		if !given[i] {
			given[i] = true
			left--
			m.ended = append(m.ended, fmt.Sprintf("%v %s", Withdrawn, got[i]))
		}
		m.s.Given(lent[i].Seq)
		require.Equal(t, left, m.s.Lent())
		kept := 0
		m.s.Kept(func(*Entry) { kept++ })
		require.Equal(t, len(m.queue)+left, kept)
	}
	require.Equal(t, want, got)
}

// restart stores the session and makes it anew of what was stored.
func (m *model) restart() {
	var stored []Entry
	m.s.Entries(func(e *Entry) { stored = append(stored, *e) })
	received := m.s.Unreleased()
	m.s = New(m.limits, m.log)
	m.out.Reset()
	m.on, m.outLen = false, 0
	for _, e := range stored {
		m.s.Resume(e)
	}
	for _, id := range received {
		m.s.ResumeReceived(id)
	}
}

func property(t *rapid.T) {
	l := &Limits{
		QueuedMessages: rapid.SampledFrom([]int{1, 3, 10, 1000}).Draw(t, "queued messages"),
		QueuedBytes:    rapid.SampledFrom([]int{1000, 20_000, 1 << 30}).Draw(t, "queued bytes"),
		DropOldest:     rapid.Bool().Draw(t, "drop oldest"),
		ReceiveMaximum: 10,
		OutboxBytes:    rapid.SampledFrom([]int{1, 500, 1 << 30}).Draw(t, "outbox bytes"),
		InFlightBytes:  rapid.SampledFrom([]int{0, 0, 1, 1000, 6000}).Draw(t, "in-flight bytes"),
	}
	m := &model{desk: newDesk(t, l), limits: l}
	m.out.Pool = new(outbox.Pool)
	for range rapid.IntRange(1, 120).Draw(t, "steps") {
		m.step(t)
	}
}

// TestModel holds the session against the model.
func TestModel(t *testing.T) { rapid.Check(t, property) }

// FuzzSession is TestModel with sequences that the fuzzer finds.
func FuzzSession(f *testing.F) {
	for seed := range byte(4) {
		random := rand.NewChaCha8([32]byte{seed})
		b := make([]byte, 4096)
		_, _ = random.Read(b) // never fails
		f.Add(b)
	}
	f.Fuzz(rapid.MakeFuzz(property))
}
