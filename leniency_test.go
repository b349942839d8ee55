package shoal_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/packets"
)

// bridgeTo is the CONNECT of a bridge of mosquitto's.
func bridgeTo(v packets.Version) *packets.Connect {
	return &packets.Connect{ProtocolVersion: v, Bridge: true, ClientID: "bridge", CleanStart: true}
}

// A bridge of mosquitto's tells by its version that it is one: nothing that it publishes comes back to it, and what is retained comes with RETAIN, to be
// retained where it goes; other clients of MQTT 3 get both otherwise.
func TestBridgesOfMosquittoGetNoLoopsAndRetain(t *testing.T) {
	for _, v := range []packets.Version{packets.V31, packets.V311} {
		for _, bridge := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				b := start(t)
				p := bridgeTo(v)
				p.Bridge = bridge
				cl := dial(t, b, v)
				require.Equal(t, packets.Success, cl.TryConnect(p).ReasonCode)
				cl.Subscribe(1, "#")
				cl.PublishWith(&packets.Publish{TopicName: "own", QoS: 1, Payload: []byte("m")})
				if !bridge {
					cl.ExpectPublish("own", "m")
				}
				cl.ExpectQuiet()
				other := connect(t, b, "other")
				other.PublishWith(&packets.Publish{TopicName: "t", QoS: 1, Retain: true, Payload: []byte("m")})
				require.Equal(t, bridge, cl.ExpectPublish("t", "m").Retain)
			})
		}
	}
}

// MQTT 5 has subscription options for that, and no such bit.
func TestBridgeBitIsNoneOfMQTT5(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t)
		cl := dial(t, b, packets.V311)
		cl.SendRaw([]byte{0x10, 13, 0, 4, 'M', 'Q', 'T', 'T', 0x85, 2, 0, 0, 0, 0, 0})
		cl.Close()
		require.Zero(t, b.Metrics().ClientsAccepted)
	})
}

// The reserved flag of CONNECT must be 0 from 3.1.1 on [MQTT-3.1.2-3]; MQTT 3.1 does not say so.
func TestReservedConnectFlagOf31MayBeSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t)
		old := dial(t, b, packets.V31)
		old.SendRaw([]byte{0x10, 15, 0, 6, 'M', 'Q', 'I', 's', 'd', 'p', 3, 0x03, 0, 0, 0, 1, 'c'})
		old.ExpectBytes(0x20, 2, 0, 0)
		later := dial(t, b, packets.V311)
		later.SendRaw([]byte{0x10, 13, 0, 4, 'M', 'Q', 'T', 'T', 4, 0x03, 0, 0, 0, 1, 'd'})
		later.ExpectClosed()
	})
}

// Control characters in topics may be refused (section 1.5.4) and are not: whoever has them keeps working.
func TestControlCharactersInTopicsAreTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t)
		cl := connect(t, b, "cl")
		for _, topic := range []string{"a\x01", "\x1f", "tab\tin it", "\x7f/\u0080", "\u009f"} {
			cl.Subscribe(1, topic)
			require.Equal(t, packets.Success, cl.Publish(1, topic, "m"))
			cl.ExpectPublish(topic, "m")
		}
	})
}

// The answer of the other QoS ends no delivery [MQTT-4.3.2-3] [MQTT-4.3.3-4]: what is not acknowledged as it must be comes again, and the client stays.
func TestAnswersOfTheOtherQoSEndNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t)
		sub, _ := connectWith(t, b, lasting("sub", true))
		sub.Manual = true
		sub.Subscribe(2, "t")
		pub := connect(t, b, "pub")
		pub.Publish(1, "t", "one")
		pub.Publish(2, "t", "two")
		one, _ := sub.Expect(packets.TypePublish).(*packets.Publish)
		two, _ := sub.Expect(packets.TypePublish).(*packets.Publish)
		sub.Send(&packets.PubRec{PacketID: one.PacketID})
		rel, _ := sub.Expect(packets.TypePubRel).(*packets.PubRel)
		require.Equal(t, packets.PacketIdentifierNotFound, rel.ReasonCode)
		sub.Send(&packets.PubAck{PacketID: two.PacketID})
		sub.ExpectQuiet()
		sub.Disconnect()
		sub, _ = connectWith(t, b, lasting("sub", false))
		require.True(t, sub.ExpectPublish("t", "one").Dup)
		require.True(t, sub.ExpectPublish("t", "two").Dup)
		sub.ExpectQuiet()
	})
}

// An unknown property, or one of another packet, is malformed (section 2.2.2.2); one that comes twice is a protocol error (section 3.3.2.3.3).
func TestPropertyErrorsAreToldApart(t *testing.T) {
	publish := func(props ...byte) []byte {
		body := append([]byte{0, 1, 't', byte(len(props))}, props...)
		return append([]byte{0x30, byte(len(body))}, body...)
	}
	for name, c := range map[string]struct {
		packet []byte
		code   packets.ReasonCode
	}{
		"unknown":           {publish(0x7e, 0), packets.MalformedPacket},
		"of another packet": {publish(0x21, 0, 1), packets.MalformedPacket},
		"twice":             {publish(0x02, 0, 0, 0, 1, 0x02, 0, 0, 0, 1), packets.ProtocolError},
		"no such value":     {publish(0x01, 2), packets.ProtocolError},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := start(t)
				cl := connect(t, b, "cl")
				cl.SendRaw(c.packet)
				cl.ExpectDisconnect(c.code)
			})
		})
	}
}
