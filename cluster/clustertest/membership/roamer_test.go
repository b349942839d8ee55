package membership_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/cluster/clustertest"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/mqtt"
	"github.com/shoalmq/shoal/packets"
)

// roamer is a v5 client with a session that lasts. When its connection ends it connects again at once, to the node it was sent to, or to one
// after another, and goes on: it sends again what was not acknowledged, as the specification has it [MQTT-4.4.0-1].
type roamer struct {
	t    *testing.T
	c    *clustertest.Cluster
	id   string
	node int
	conn net.Conn
	refs int // how often it was sent to a node

	outage  time.Duration // the longest from the end of a connection to the next CONNACK
	moves   int
	unready map[uint16]bool // QoS 2 messages that were received and not released
}

func newRoamer(t *testing.T, c *clustertest.Cluster, id string, node int) *roamer {
	r := &roamer{t: t, c: c, id: id, node: node, unready: make(map[uint16]bool)}
	r.connect(true)
	return r
}

// connect connects until that has worked. It may be called on another goroutine than the test's.
func (r *roamer) connect(first bool) {
	began := time.Now()
	for {
		ack := r.try(first)
		if ack != nil && !ack.ReasonCode.IsError() {
			if !first && !ack.SessionPresent {
				r.t.Errorf("%s: the session is gone", r.id)
			}
			break
		}
		if ack == nil || !r.follow(&ack.Properties) {
			r.node = (r.node + 1) % r.c.Nodes()
		}
		if time.Since(began) > time.Minute {
			r.t.Errorf("%s: no node takes it", r.id)
			return
		}
		time.Sleep(time.Millisecond)
	}
	if !first {
		r.outage = max(r.outage, time.Since(began))
		r.moves++
	}
}

func (r *roamer) try(first bool) *packets.ConnAck {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	conn, err := r.c.DialContext(ctx, r.node)
	if err != nil {
		return nil
	}
	r.conn = conn
	p := &packets.Connect{ProtocolVersion: packets.V5, ClientID: r.id, CleanStart: first}
	p.Properties.SessionExpiryInterval = packets.Some(uint32(3600))
	if !r.send(p) {
		return nil
	}
	ack, _ := r.read(mqtt.Patience).(*packets.ConnAck)
	if ack == nil || ack.ReasonCode.IsError() {
		_ = conn.Close()
	}
	return ack
}

// follow goes where the server says.
func (r *roamer) follow(p *packets.Properties) bool {
	for i := range r.c.Nodes() {
		if p.ServerReference.Set && p.ServerReference.Value == net.JoinHostPort(r.c.Network().Host(r.c.Node(i).Host()).IP(), "1883") {
			r.node = i
			r.refs++
			return true
		}
	}
	return false
}

// moved connects again, after the packet that ended the connection, nil for none.
func (r *roamer) moved(p packets.Packet) {
	_ = r.conn.Close()
	if d, ok := p.(*packets.Disconnect); !ok || !r.follow(&d.Properties) {
		r.node = (r.node + 1) % r.c.Nodes()
	}
	r.connect(false)
}

func (r *roamer) send(p packets.Packet) bool {
	b, err := packets.Append(nil, p, packets.V5)
	if err != nil {
		panic(err) // it is made here
	}
	_ = r.conn.SetWriteDeadline(time.Now().Add(mqtt.Patience))
	_, err = r.conn.Write(b)
	return err == nil
}

func (r *roamer) read(limit time.Duration) packets.Packet {
	_ = r.conn.SetReadDeadline(time.Now().Add(limit))
	p, err := packets.Read(r.conn, packets.V5, 1<<20)
	if err != nil {
		return nil
	}
	return p
}

// publisher publishes one message after another.
type publisher struct {
	*roamer
	qos     packets.QoS
	sent    int
	longest time.Duration // from the first attempt to the last acknowledgement
	stop    chan struct{}
}

func (p *publisher) run(topic string, pause time.Duration) {
	for {
		select {
		case <-p.stop:
			return
		case <-time.After(pause):
		}
		began := time.Now()
		m := &packets.Publish{TopicName: topic, QoS: p.qos, PacketID: uint16(p.sent%60000 + 1), Payload: fmt.Appendf(nil, "%06d %d", p.sent, began.UnixNano())}
		released := false
		ok := p.send(m)
		for {
			var answer packets.Packet
			if ok {
				answer = p.read(mqtt.Patience)
			}
			switch a := answer.(type) {
			case *packets.PubAck:
				ok = !p.refused(a.ReasonCode)
			case *packets.PubRec:
				released = true
				if ok = !p.refused(a.ReasonCode); ok {
					ok = p.send(&packets.PubRel{PacketID: m.PacketID})
					continue
				}
			case *packets.PubComp:
				ok = !p.refused(a.ReasonCode)
			default:
				p.moved(answer)
				if released {
					ok = p.send(&packets.PubRel{PacketID: m.PacketID})
				} else {
					m.Dup = true
					ok = p.send(m)
				}
				continue
			}
			if ok {
				break
			}
		}
		p.longest = max(p.longest, time.Since(began))
		p.sent++
	}
}

func (p *publisher) refused(code packets.ReasonCode) bool {
	if code.IsError() {
		p.t.Errorf("%s: refused with %s", p.id, code)
	}
	return false
}

// subscriber takes what comes until it is told to stop.
type subscriber struct {
	*roamer
	qos     packets.QoS
	mu      sync.Mutex
	got     map[string]map[string]int // topic, number: how often
	last    map[string]string
	longest time.Duration // that a message took
	stop    chan struct{}
}

func (s *subscriber) subscribe(filter string) {
	require.True(s.t, s.send(&packets.Subscribe{PacketID: 1, Subscriptions: []packets.Subscription{{TopicFilter: filter, QoS: s.qos}}}))
	require.IsType(s.t, &packets.SubAck{}, s.read(mqtt.Patience))
}

func (s *subscriber) run() {
	for {
		select {
		case <-s.stop:
			return
		default:
		}
		switch p := s.read(300 * time.Millisecond).(type) {
		case nil:
			if s.send(&packets.PingReq{}) {
				continue
			}
			s.moved(nil)
		case *packets.Disconnect:
			s.moved(p)
		case *packets.Publish:
			s.take(p)
		case *packets.PubRel:
			delete(s.unready, p.PacketID)
			s.send(&packets.PubComp{PacketID: p.PacketID})
		}
	}
}

func (s *subscriber) take(p *packets.Publish) {
	if p.QoS == 2 {
		again := s.unready[p.PacketID]
		s.unready[p.PacketID] = true
		s.send(&packets.PubRec{PacketID: p.PacketID})
		if again {
			return // it has been delivered [MQTT-4.3.3-10]
		}
	} else {
		s.send(&packets.PubAck{PacketID: p.PacketID})
	}
	var number string
	var at int64
	if _, err := fmt.Sscanf(string(p.Payload), "%s %d", &number, &at); err != nil {
		s.t.Errorf("%s: payload %q: %v", s.id, p.Payload, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.got[p.TopicName] == nil {
		s.got[p.TopicName] = make(map[string]int)
	}
	s.got[p.TopicName][number]++
	if s.got[p.TopicName][number] == 1 {
		if number <= s.last[p.TopicName] && number != "000000" {
			s.t.Errorf("%s: %s came after %s on %s", s.id, number, s.last[p.TopicName], p.TopicName)
		}
		s.last[p.TopicName] = number
	}
	s.longest = max(s.longest, time.Since(time.Unix(0, at)))
}

// missing returns how many of a topic's messages have not come, and how many came more than once.
func (s *subscriber) missing(topic string, sent int) (missing, twice int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := range sent {
		switch s.got[topic][fmt.Sprintf("%06d", n)] {
		case 0:
			missing++
		case 1:
		default:
			twice++
		}
	}
	return missing, twice
}
