package realclients

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/packets"
)

// A sustained stream from a publisher on one node to a subscriber on another. These clients are small ones of our own, which
// keep as many messages under way as the broker allows, because those of others are slower than the broker.

func TestStreamQoS1(t *testing.T) { testStream(t, 1, 100_000) }

func TestStreamQoS2(t *testing.T) { testStream(t, 2, 20_000) }

// testStream holds that all messages arrive once and in order; at QoS 1, too, since no connection is lost.
func testStream(t *testing.T, qos packets.QoS, count int) {
	topic := unique("stream")
	sub := dialStream(t, nodes[0], unique("sub"))
	sub.send(t, &packets.Subscribe{PacketID: 1, Subscriptions: []packets.Subscription{{TopicFilter: topic, QoS: qos}}})
	ack, ok := sub.next(t).(*packets.SubAck)
	require.True(t, ok)
	require.Equal(t, []packets.ReasonCode{packets.ReasonCode(qos)}, ack.ReasonCodes)
	pub := dialStream(t, nodes[1], unique("pub"))

	// The connections end with the test, so each side ends when the other fails, or when time is up.
	var wg sync.WaitGroup
	var published, received error
	began := time.Now()
	wg.Go(func() { published = pub.publishAll(topic, qos, count) })
	wg.Go(func() { received = sub.receiveAll(topic, qos, count) })
	wg.Wait()
	require.NoError(t, errors.Join(published, received))
	t.Logf("%d messages of QoS %d in %v, that is %.0f/s", count, qos, time.Since(began), float64(count)/time.Since(began).Seconds())
}

// stream is a connection that is read and written in large pieces.
type stream struct {
	conn net.Conn
	in   []byte // read, not parsed
	out  []byte // to be written before the next read
}

func dialStream(t *testing.T, at endpoint, clientID string) *stream {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", at.tcp)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(5*time.Minute)))
	s := &stream{conn: conn}
	s.send(t, &packets.Connect{ClientID: clientID, CleanStart: true})
	ack, ok := s.next(t).(*packets.ConnAck)
	require.True(t, ok)
	require.Equal(t, packets.Success, ack.ReasonCode)
	return s
}

func (s *stream) send(t *testing.T, p packets.Packet) {
	t.Helper()
	require.NoError(t, s.put(p))
	require.NoError(t, s.flush())
}

func (s *stream) next(t *testing.T) packets.Packet {
	t.Helper()
	p, err := s.read()
	require.NoError(t, err)
	return p
}

// put appends a packet to what is to be written.
func (s *stream) put(p packets.Packet) (err error) {
	s.out, err = packets.Append(s.out, p, packets.V5)
	return err
}

func (s *stream) flush() error {
	if len(s.out) == 0 {
		return nil
	}
	_, err := s.conn.Write(s.out)
	s.out = s.out[:0]
	return err
}

// read returns the next packet. Before it waits for the broker it writes what is to be written.
func (s *stream) read() (packets.Packet, error) {
	for {
		h, err := packets.ParseFixedHeader(s.in)
		switch {
		case err == nil && len(s.in) >= h.Size+h.Remaining:
			p := packets.New(h.Type)
			err := p.Decode(h, s.in[h.Size:h.Size+h.Remaining], packets.V5)
			s.in = s.in[h.Size+h.Remaining:]
			return p, err
		case err != nil && !errors.Is(err, packets.ErrIncomplete):
			return nil, err
		}
		if err := s.flush(); err != nil {
			return nil, err
		}
		in := make([]byte, len(s.in), len(s.in)+64<<10) // packets refer to the old one
		copy(in, s.in)
		n, err := s.conn.Read(in[len(in):cap(in)])
		if err != nil && (n == 0 || !errors.Is(err, io.EOF)) {
			return nil, err
		}
		s.in = in[:len(in)+n]
	}
}

// window is how many messages are under way at once; the broker allows 1,024.
const window = 1000

// publishAll publishes count numbers and takes the acknowledgements.
func (s *stream) publishAll(topic string, qos packets.QoS, count int) error {
	sent, acknowledged := 0, 0
	for acknowledged < count {
		for ; sent < count && sent-acknowledged < window; sent++ {
			if err := s.put(&packets.Publish{
				TopicName: topic, QoS: qos, PacketID: uint16(sent%window + 1), Payload: binary.BigEndian.AppendUint64(nil, uint64(sent)),
			}); err != nil {
				return err
			}
		}
		p, err := s.read()
		if err != nil {
			return fmt.Errorf("publisher, after %d of %d acknowledgements: %w", acknowledged, count, err)
		}
		var code packets.ReasonCode
		var done bool
		switch p := p.(type) {
		case *packets.PubAck:
			code, done = p.ReasonCode, true
		case *packets.PubRec:
			code = p.ReasonCode
			err = s.put(&packets.PubRel{PacketID: p.PacketID})
		case *packets.PubComp:
			code, done = p.ReasonCode, true
		default:
			err = fmt.Errorf("publisher got %+v", p)
		}
		if code != packets.Success {
			err = fmt.Errorf("publisher got %v after %d acknowledgements", code, acknowledged)
		}
		if err != nil {
			return err
		}
		if done {
			acknowledged++
		}
	}
	return nil
}

// receiveAll holds that the next count messages carry the numbers in order, and acknowledges them.
func (s *stream) receiveAll(topic string, qos packets.QoS, count int) error {
	received, released := 0, 0
	for received < count || qos == 2 && released < count {
		p, err := s.read()
		if err != nil {
			return fmt.Errorf("subscriber, after %d of %d messages: %w", received, count, err)
		}
		switch p := p.(type) {
		case *packets.Publish:
			if p.TopicName != topic || p.QoS != qos || len(p.Payload) != 8 || binary.BigEndian.Uint64(p.Payload) != uint64(received) {
				return fmt.Errorf("subscriber, awaiting message %d of QoS %d: got %+v", received, qos, p)
			}
			received++
			if qos == 1 {
				err = s.put(&packets.PubAck{PacketID: p.PacketID})
			} else {
				err = s.put(&packets.PubRec{PacketID: p.PacketID})
			}
		case *packets.PubRel:
			released++
			err = s.put(&packets.PubComp{PacketID: p.PacketID})
		default:
			err = fmt.Errorf("subscriber got %+v", p)
		}
		if err != nil {
			return err
		}
	}
	return s.flush()
}
