package client_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/internal/client"
	"github.com/shoalmq/shoal/internal/mqtttest"
	"github.com/shoalmq/shoal/internal/pipe"
	"github.com/shoalmq/shoal/internal/session"
	"github.com/shoalmq/shoal/packets"
)

// served runs a client against a broker that the test plays, and returns that broker's end and how the connection ends.
func served(t *testing.T, c *client.Client, keepAlive uint16, subs ...packets.Subscription) (*mqtttest.Client, func() error) {
	t.Helper()
	near, far := pipe.New("test")
	broker := mqtttest.New(t, far, packets.V5)
	broker.Manual, broker.Timeout = true, time.Minute
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	go func() {
		p := &packets.Connect{ProtocolVersion: packets.V5, ClientID: "c", KeepAlive: keepAlive}
		ended <- c.Run(ctx, near, p, subs, func() {})
	}()
	broker.Expect(packets.TypeConnect)
	broker.Send(&packets.ConnAck{})
	return broker, func() error { return <-ended }
}

func message(payload string) *session.Message {
	return &session.Message{TopicName: "t", Payload: []byte(payload)}
}

// A message that was not answered is sent again, with DUP and its identifier, on the next connection; PUBREL goes on where it was
// [MQTT-4.4.0-1]. SUBSCRIBE has an identifier that none of them has [MQTT-2.2.1-3].
func TestGoesOnWithWhatWasNotAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := client.New(client.Config{Version: packets.V5})
		broker, ended := served(t, c, 0)
		var how []session.Why
		for _, qos := range []packets.QoS{1, 2, 1} {
			c.Publish(message("m"), qos, false, func(why session.Why) { how = append(how, why) })
		}
		var ids []uint16
		for range 3 {
			p, ok := broker.Expect(packets.TypePublish).(*packets.Publish)
			require.True(t, ok)
			require.False(t, p.Dup)
			ids = append(ids, p.PacketID)
		}
		broker.Send(&packets.PubAck{PacketID: ids[0], ReasonCode: packets.QuotaExceeded})
		broker.Send(&packets.PubRec{PacketID: ids[1]})
		broker.Expect(packets.TypePubRel)
		broker.Close()
		require.Error(t, ended())
		require.Equal(t, []session.Why{session.Refused}, how)

		broker, _ = served(t, c, 0, packets.Subscription{TopicFilter: "x", QoS: 1})
		rel, ok := broker.Expect(packets.TypePubRel).(*packets.PubRel)
		require.True(t, ok)
		require.Equal(t, ids[1], rel.PacketID)
		again, ok := broker.Expect(packets.TypePublish).(*packets.Publish)
		require.True(t, ok)
		require.True(t, again.Dup)
		require.Equal(t, ids[2], again.PacketID)
		s, ok := broker.Expect(packets.TypeSubscribe).(*packets.Subscribe)
		require.True(t, ok)
		require.NotContains(t, ids, s.PacketID)
		broker.Send(&packets.SubAck{PacketID: s.PacketID, ReasonCodes: []packets.ReasonCode{1}})
		broker.Send(&packets.PubComp{PacketID: ids[1]})
		broker.Send(&packets.PubAck{PacketID: ids[2]})
		synctest.Wait()
		require.Equal(t, []session.Why{session.Refused, session.Acknowledged, session.Acknowledged}, how)
	})
}

// Answers leave in the order of the messages, whichever is accepted first [MQTT-4.6.0-2]; what is not accepted ends the connection without one.
func TestAnswersInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var accept []func(error)
		c := client.New(client.Config{Version: packets.V5, Receive: func(_ *packets.Publish, accepted func(error)) {
			accept = append(accept, accepted)
		}})
		broker, ended := served(t, c, 0)
		for id := range uint16(3) {
			broker.Send(&packets.Publish{TopicName: "t", QoS: packets.QoS(1 + id%2), PacketID: id + 1})
		}
		synctest.Wait()
		accept[1](nil)
		broker.ExpectNothing(time.Second)
		accept[0](nil)
		broker.Expect(packets.TypePubAck)
		broker.Expect(packets.TypePubRec)
		broker.Send(&packets.Publish{TopicName: "t", QoS: 2, PacketID: 2, Dup: true}) // [MQTT-4.3.3-10]
		synctest.Wait()
		require.Len(t, accept, 3, "a duplicate is handed on")
		accept[2](errors.New("no room"))
		require.ErrorContains(t, ended(), "no room")
	})
}

// A broker that says nothing for longer than the Keep Alive allows is given up; before that it is asked [MQTT-3.1.2-22].
func TestSilentBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := client.New(client.Config{Version: packets.V5})
		broker, ended := served(t, c, 10)
		began := time.Now()
		broker.Expect(packets.TypePingReq)
		require.LessOrEqual(t, time.Since(began), 10*time.Second)
		broker.Send(&packets.PingResp{})
		require.ErrorContains(t, ended(), "silent")
		require.LessOrEqual(t, time.Since(began), 30*time.Second)
	})
}

// A broker that refuses says why.
func TestRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := client.New(client.Config{Version: packets.V5})
		near, far := pipe.New("test")
		broker := mqtttest.New(t, far, packets.V5)
		ended := make(chan error, 1)
		go func(nc net.Conn) {
			ended <- c.Run(t.Context(), nc, &packets.Connect{ProtocolVersion: packets.V5, ClientID: "c"}, nil, func() {})
		}(near)
		broker.Expect(packets.TypeConnect)
		broker.Send(&packets.ConnAck{ReasonCode: packets.BadUserNameOrPassword})
		var refused *client.RefusedError
		require.ErrorAs(t, <-ended, &refused)
		require.Equal(t, packets.BadUserNameOrPassword, refused.ReasonCode)

		broker, done := served(t, c, 0, packets.Subscription{TopicFilter: "x"})
		s, ok := broker.Expect(packets.TypeSubscribe).(*packets.Subscribe)
		require.True(t, ok)
		broker.Send(&packets.SubAck{PacketID: s.PacketID, ReasonCodes: []packets.ReasonCode{packets.NotAuthorized}})
		require.ErrorContains(t, done(), "refuses subscription 1")
	})
}
