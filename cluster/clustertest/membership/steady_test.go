package membership_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/cluster/clustertest"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/mqtt"
	"github.com/shoalmq/shoal/packets"
)

// steady is a connection whose troubles do not fail the test: whoever has it goes on with another.
type steady struct {
	conn net.Conn
	id   uint16
}

// dialSteady connects a client, or returns nil.
func dialSteady(c *clustertest.Cluster, node int, id string) *steady {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	conn, err := c.DialContext(ctx, node)
	if err != nil {
		return nil
	}
	s := &steady{conn: conn}
	ack, ok := s.exchange(&packets.Connect{ProtocolVersion: packets.V5, ClientID: id, CleanStart: true}).(*packets.ConnAck)
	if !ok || ack.ReasonCode.IsError() {
		s.close()
		return nil
	}
	return s
}

// exchange sends a packet and returns the next that comes, or nil.
func (s *steady) exchange(p packets.Packet) packets.Packet {
	b, err := packets.Append(nil, p, packets.V5)
	if err != nil {
		panic(err) // it is made here
	}
	_ = s.conn.SetDeadline(time.Now().Add(mqtt.Patience))
	if _, err := s.conn.Write(b); err != nil {
		return nil
	}
	answer, err := packets.Read(s.conn, packets.V5, 1<<20)
	if err != nil {
		return nil
	}
	return answer
}

// publish reports whether a message of QoS 1 was acknowledged.
func (s *steady) publish(topic, payload string) bool {
	s.id = s.id%60000 + 1
	ack, ok := s.exchange(&packets.Publish{TopicName: topic, QoS: 1, PacketID: s.id, Payload: []byte(payload)}).(*packets.PubAck)
	return ok && !ack.ReasonCode.IsError()
}

func (s *steady) close() {
	if s != nil {
		_ = s.conn.Close()
	}
}

// eventually waits, in virtual time, until cond holds.
func eventually(t *testing.T, within time.Duration, what string, cond func() bool) {
	t.Helper()
	end := time.Now().Add(within)
	for !cond() {
		require.False(t, time.Now().After(end), "did not happen within %s: %s", within, what)
		time.Sleep(10 * time.Millisecond)
	}
}
