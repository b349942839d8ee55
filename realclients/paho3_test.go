package realclients

import (
	"net"
	"net/url"
	"sync/atomic"
	"testing"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/stretchr/testify/require"
)

// paho3 is paho.mqtt.golang.
type paho3 struct {
	version   uint
	webSocket bool
}

func (paho3) require(*testing.T) {}

// connect connects. cut ends the connection without a DISCONNECT.
func (k paho3) connect(t *testing.T, at endpoint, how listening, received mqtt.MessageHandler) (c mqtt.Client, present bool, cut func()) {
	t.Helper()
	broker := "tcp://" + at.tcp
	if k.webSocket {
		broker = at.ws
	}
	var conn atomic.Value
	o := mqtt.NewClientOptions().AddBroker(broker).SetClientID(how.clientID).SetProtocolVersion(k.version).
		SetCleanSession(!how.keep).SetAutoReconnect(false).SetConnectTimeout(patience).SetDefaultPublishHandler(received).
		SetCustomOpenConnectionFn(func(u *url.URL, _ mqtt.ClientOptions) (net.Conn, error) {
			nc, err := k.open(t, u)
			if err == nil {
				conn.Store(nc)
			}
			return nc, err
		})
	if w := how.will; w != nil {
		o.SetWill(w.topic, w.payload, w.qos, w.retain)
	}
	c = mqtt.NewClient(o)
	token, ok := c.Connect().(*mqtt.ConnectToken)
	require.True(t, ok)
	settled(t, token)
	return c, token.SessionPresent(), func() {
		_ = conn.Load().(net.Conn).Close() // that it does not work any more is the point
	}
}

func (k paho3) open(t *testing.T, u *url.URL) (net.Conn, error) {
	if k.webSocket {
		return mqtt.NewWebsocket(u.String(), nil, patience, nil, &mqtt.WebsocketOptions{})
	}
	var d net.Dialer
	return d.DialContext(t.Context(), "tcp", u.Host)
}

func (k paho3) listen(t *testing.T, at endpoint, how listening) *listener {
	t.Helper()
	l := newListener()
	c, present, cut := k.connect(t, at, how, func(_ mqtt.Client, m mqtt.Message) {
		l.messages <- message{topic: m.Topic(), payload: string(m.Payload()), qos: m.Qos(), retain: m.Retained()}
	})
	l.cut = cut
	if k.version > 3 { // CONNACK of MQTT 3.1 has no Session Present
		l.sessionPresent = &present
	}
	l.leave = func() { c.Disconnect(1000) }
	t.Cleanup(l.leave)
	filters := make(map[string]byte)
	for _, f := range how.filters {
		filters[f] = how.qos
	}
	settled(t, c.SubscribeMultiple(filters, nil))
	return l
}

func (k paho3) publish(t *testing.T, at endpoint, m message, payloads ...string) {
	t.Helper()
	c, _, _ := k.connect(t, at, listening{clientID: unique("pub")}, nil)
	defer c.Disconnect(1000)
	for _, p := range payloads {
		settled(t, c.Publish(m.topic, m.qos, m.retain, p))
	}
}

func settled(t *testing.T, token mqtt.Token) {
	t.Helper()
	require.True(t, token.WaitTimeout(patience), "no answer")
	require.NoError(t, token.Error())
}
