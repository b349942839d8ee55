package realclients

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// message is a message as a client was given it, or is to send it.
type message struct {
	topic   string
	payload string
	qos     byte
	retain  bool
}

// listening says how a client is to connect and what it is to subscribe to.
type listening struct {
	clientID string
	filters  []string
	qos      byte
	keep     bool     // the session outlives the connection
	will     *message // published when the connection is cut
}

// listener is a client that has subscribed.
type listener struct {
	messages chan message
	// sessionPresent is what the broker answered; nil if the client does not tell.
	sessionPresent *bool
	// leavesWithWill: leave sends the reason code Disconnect with Will Message (0x04).
	leavesWithWill bool
	// leave ends the connection with a DISCONNECT, cut without one. Either may be called after the other.
	leave, cut func()
}

// kind is one kind of client.
type kind interface {
	// require skips the test if the client is not installed.
	require(t *testing.T)
	// listen connects and subscribes; it returns after SUBACK.
	listen(t *testing.T, at endpoint, how listening) *listener
	// publish publishes m with each of the payloads in turn, and returns when all are acknowledged.
	publish(t *testing.T, at endpoint, m message, payloads ...string)
}

// kinds are all kinds of clients there are.
var kinds = map[string]kind{
	"mosquitto_3.1":             mosquitto{version: "31"},
	"mosquitto_3.1.1":           mosquitto{version: "311"},
	"mosquitto_5":               mosquitto{version: "5"},
	"paho.mqtt.golang_3.1.1":    paho3{version: 4},
	"paho.mqtt.golang_3.1":      paho3{version: 3},
	"paho.mqtt.golang_3.1.1_ws": paho3{version: 4, webSocket: true},
	"paho.golang_5":             paho5{},
	"paho_python_3.1.1":         python("4"),
	"paho_python_5":             python("5"),
	"mqttjs_3.1.1":              javaScript("4"),
	"mqttjs_5":                  javaScript("5"),
}

// forEachKind runs a test for each kind of client.
func forEachKind(t *testing.T, test func(t *testing.T, k kind)) {
	for name, k := range kinds {
		t.Run(name, func(t *testing.T) {
			k.require(t)
			test(t, k)
		})
	}
}

// missing skips the test because something is not installed, or fails it where everything has to be.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("SHOAL_REQUIRE_SERVERS") == "1" {
		require.Fail(t, what+" is missing, and SHOAL_REQUIRE_SERVERS=1")
	}
	t.Skip(what + " is not installed")
}

func newListener() *listener { return &listener{messages: make(chan message, 10_000)} }

// receive waits for the next message.
func (l *listener) receive(t *testing.T) message {
	t.Helper()
	select {
	case m := <-l.messages:
		return m
	case <-time.After(patience):
		require.Fail(t, "no message came")
		return message{}
	}
}
