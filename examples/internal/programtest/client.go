package programtest

import (
	"strconv"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/stretchr/testify/require"
)

// patience is how long anything may take.
const patience = 20 * time.Second

// Client is an MQTT 3.1.1 client of a program under test.
type Client struct {
	t testing.TB
	c mqtt.Client
	// SessionPresent is what the broker answered.
	SessionPresent bool
	messages       chan mqtt.Message
}

// Connect connects to a port of 127.0.0.1, with Clean Session 0 if keepSession is set.
func Connect(t testing.TB, port int, clientID string, keepSession bool) *Client {
	t.Helper()
	return ConnectURL(t, "tcp://127.0.0.1:"+strconv.Itoa(port), clientID, keepSession)
}

// ConnectURL is Connect for any address, WebSocket's included.
func ConnectURL(t testing.TB, url, clientID string, keepSession bool) *Client {
	t.Helper()
	return connect(t, url, clientID, keepSession, func(*mqtt.ClientOptions) {})
}

// ConnectWithWill is Connect with a will of QoS 1.
func ConnectWithWill(t testing.TB, port int, clientID string, keepSession bool, topic, payload string) *Client {
	t.Helper()
	return connect(t, "tcp://127.0.0.1:"+strconv.Itoa(port), clientID, keepSession, func(o *mqtt.ClientOptions) { o.SetWill(topic, payload, 1, false) })
}

func connect(t testing.TB, url, clientID string, keepSession bool, change func(*mqtt.ClientOptions)) *Client {
	t.Helper()
	c := &Client{t: t, messages: make(chan mqtt.Message, 1000)}
	o := mqtt.NewClientOptions().AddBroker(url).SetClientID(clientID).SetProtocolVersion(4).SetCleanSession(!keepSession).
		SetAutoReconnect(false).SetConnectTimeout(patience).
		SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { c.messages <- m })
	change(o)
	c.c = mqtt.NewClient(o)
	token, ok := c.c.Connect().(*mqtt.ConnectToken)
	require.True(t, ok)
	c.wait(token)
	c.SessionPresent = token.SessionPresent()
	t.Cleanup(c.Close)
	return c
}

func (c *Client) wait(token mqtt.Token) {
	c.t.Helper()
	require.True(c.t, token.WaitTimeout(patience), "no answer")
	require.NoError(c.t, token.Error())
}

// Publish publishes and waits for the acknowledgement.
func (c *Client) Publish(topic string, qos byte, retain bool, payload string) {
	c.t.Helper()
	c.wait(c.c.Publish(topic, qos, retain, payload))
}

// Subscribe subscribes and waits for the acknowledgement.
func (c *Client) Subscribe(filter string, qos byte) {
	c.t.Helper()
	c.wait(c.c.Subscribe(filter, qos, nil))
}

// MaySubscribe subscribes and reports whether that was granted.
func (c *Client) MaySubscribe(filter string) bool {
	c.t.Helper()
	token := c.c.Subscribe(filter, 1, nil)
	require.True(c.t, token.WaitTimeout(patience), "no answer")
	answer, ok := token.(*mqtt.SubscribeToken)
	require.True(c.t, ok)
	return answer.Result()[filter] < 0x80
}

// Receive waits for the next message, which must be this one.
func (c *Client) Receive(topic, payload string) mqtt.Message {
	c.t.Helper()
	m := c.Next()
	require.Equal(c.t, topic+" "+payload, m.Topic()+" "+string(m.Payload()))
	return m
}

// Next waits for the next message.
func (c *Client) Next() mqtt.Message {
	c.t.Helper()
	select {
	case m := <-c.messages:
		return m
	case <-time.After(patience):
		require.Fail(c.t, "no message")
		return nil
	}
}

// Close disconnects.
func (c *Client) Close() { c.c.Disconnect(100) }
