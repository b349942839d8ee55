package behaviour

import (
	stdcontext "context"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/packets"
)

// WebSocketFrames holds what the specification says of frames, in section 6. dial connects as a WebSocket client that offers these
// subprotocols.
func WebSocketFrames(t *testing.T, dial func(t *testing.T, protocols ...string) *websocket.Conn) {
	for offered, picked := range map[string]string{"mqtt": "mqtt", "other,mqtt": "mqtt", "mqttv3.1": "mqttv3.1"} { // [MQTT-6.0.0-4]
		ws := dial(t, strings.Split(offered, ",")...)
		require.Equal(t, picked, ws.Subprotocol())
		require.NoError(t, ws.CloseNow())
	}
	for _, v := range versions {
		f := &frames{t: t, ws: dial(t, "mqtt"), v: v}
		connect := f.encode(&packets.Connect{ClientID: "c", CleanStart: true})
		subscribe := f.encode(&packets.Subscribe{PacketID: 1, Subscriptions: []packets.Subscription{{TopicFilter: "t"}}})
		publish := f.encode(&packets.Publish{TopicName: "t", Payload: []byte("payload")})
		ping := f.encode(&packets.PingReq{})

		// One packet in many frames, empty ones among them, and many packets in one [MQTT-6.0.0-2].
		for i := range connect {
			f.send(connect[i : i+1])
			f.send(nil)
		}
		f.expect(packets.TypeConnAck)
		f.send(append(append(append([]byte(nil), subscribe...), publish...), publish[:3]...))
		f.expect(packets.TypeSubAck)
		f.expect(packets.TypePublish)
		f.send(append(append([]byte(nil), publish[3:]...), ping...))
		f.expect(packets.TypePublish)
		f.expect(packets.TypePingResp)

		// Text ends the connection, and what it says is not looked at [MQTT-6.0.0-1].
		require.NoError(t, f.ws.Write(f.limit(), websocket.MessageText, ping))
		f.expectEnd()
		early := &frames{t: t, ws: dial(t, "mqtt"), v: v}
		require.NoError(t, early.ws.Write(early.limit(), websocket.MessageText, connect))
		early.expectEnd()
	}
}

// frames is a client that sees frames.
type frames struct {
	t   *testing.T
	ws  *websocket.Conn
	v   packets.Version
	got []byte
}

func (f *frames) limit() stdcontext.Context {
	ctx, cancel := stdcontext.WithTimeout(f.t.Context(), 5*time.Second)
	f.t.Cleanup(cancel)
	return ctx
}

func (f *frames) encode(p packets.Packet) []byte {
	f.t.Helper()
	b, err := packets.Append(nil, p, f.v)
	require.NoError(f.t, err)
	return b
}

func (f *frames) send(b []byte) {
	f.t.Helper()
	require.NoError(f.t, f.ws.Write(f.limit(), websocket.MessageBinary, b))
}

// expect reads the next packet, which must come in binary frames.
func (f *frames) expect(want packets.Type) {
	f.t.Helper()
	for {
		if h, err := packets.ParseFixedHeader(f.got); err == nil && len(f.got) >= h.Size+h.Remaining {
			require.Equal(f.t, want, h.Type)
			f.got = f.got[h.Size+h.Remaining:]
			return
		}
		kind, b, err := f.ws.Read(f.limit())
		require.NoError(f.t, err)
		require.Equal(f.t, websocket.MessageBinary, kind)
		f.got = append(f.got, b...)
	}
}

func (f *frames) expectEnd() {
	f.t.Helper()
	_, b, err := f.ws.Read(f.limit())
	require.Equal(f.t, websocket.StatusUnsupportedData, websocket.CloseStatus(err), "got % x, %v", b, err)
	_ = f.ws.CloseNow() // which the library has done already
}
