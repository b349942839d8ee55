package realclients

import (
	"context"
	"net"
	"testing"

	"github.com/eclipse/paho.golang/paho"
	"github.com/stretchr/testify/require"
)

// paho5 is paho.golang, which speaks 5.0 only.
type paho5 struct{}

func (paho5) require(*testing.T) {}

func (paho5) connect(t *testing.T, at endpoint, how listening, received func(*paho.Publish)) (*paho.Client, *paho.Connack, net.Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", at.tcp)
	require.NoError(t, err)
	c := paho.NewClient(paho.ClientConfig{
		Conn: conn, PacketTimeout: patience,
		OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(r paho.PublishReceived) (bool, error) {
			received(r.Packet)
			return true, nil
		}},
	})
	cp := &paho.Connect{ClientID: how.clientID, CleanStart: !how.keep, KeepAlive: 60, Properties: &paho.ConnectProperties{}}
	if how.keep {
		cp.Properties.SessionExpiryInterval = paho.Uint32(600)
	}
	if w := how.will; w != nil {
		cp.WillMessage = &paho.WillMessage{Topic: w.topic, Payload: []byte(w.payload), QoS: w.qos, Retain: w.retain}
	}
	ack, err := c.Connect(ctx, cp)
	require.NoError(t, err)
	return c, ack, conn
}

func (k paho5) listen(t *testing.T, at endpoint, how listening) *listener {
	t.Helper()
	l := newListener()
	c, ack, conn := k.connect(t, at, how, func(p *paho.Publish) {
		l.messages <- message{topic: p.Topic, payload: string(p.Payload), qos: p.QoS, retain: p.Retain}
	})
	l.sessionPresent = &ack.SessionPresent
	l.cut = func() { _ = conn.Close() }
	l.leave = func() {
		_ = c.Disconnect(&paho.Disconnect{}) // fails if it was cut
		<-c.Done()
	}
	t.Cleanup(l.leave)
	s := &paho.Subscribe{}
	for _, f := range how.filters {
		s.Subscriptions = append(s.Subscriptions, paho.SubscribeOptions{Topic: f, QoS: how.qos})
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err := c.Subscribe(ctx, s)
	require.NoError(t, err)
	return l
}

func (k paho5) publish(t *testing.T, at endpoint, m message, payloads ...string) {
	t.Helper()
	c, _, _ := k.connect(t, at, listening{clientID: unique("pub")}, func(*paho.Publish) {})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, p := range payloads {
		_, err := c.Publish(ctx, &paho.Publish{Topic: m.topic, QoS: m.qos, Retain: m.retain, Payload: []byte(p)})
		require.NoError(t, err)
	}
	require.NoError(t, c.Disconnect(&paho.Disconnect{}))
	<-c.Done()
}
