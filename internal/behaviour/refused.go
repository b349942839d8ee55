package behaviour

import (
	"fmt"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/internal/mqtttest"
	"github.com/shoalmq/shoal/packets"
)

func refusedCases() []Case {
	return []Case{
		{Name: "refused/by the authenticator", Options: throughDoor, Clauses: []string{
			"MQTT-3.1.3-8", "MQTT-3.1.4-2", "MQTT-3.2.0-2", "MQTT-3.2.2-6", "MQTT-3.2.2-7", "MQTT-3.2.2-8", "MQTT-4.13.2-1", "MQTT-3.14.0-1",
			"3.1.1:MQTT-3.1.3-9", "3.1.1:MQTT-3.2.2-4", "3.1.1:MQTT-3.2.2-5", "3.1.1:MQTT-3.2.0-1",
		}, run: refusedConnects},
		{Name: "refused/nothing behind a refused CONNECT counts", Options: throughDoor, Clauses: []string{
			"MQTT-3.1.4-6", "MQTT-3.2.0-2", "3.1.1:MQTT-3.1.4-5",
		}, run: behindRefused},
		{Name: "refused/all fields of CONNECT", Options: throughDoor, Clauses: []string{
			"MQTT-3.1.3-1", "MQTT-3.1.2-17", "MQTT-3.1.2-19", "3.1.1:MQTT-3.1.3-1", "3.1.1:MQTT-3.1.2-19", "3.1.1:MQTT-3.1.2-21",
		}, run: allFields},
		{Name: "refused/answers fit the client's Maximum Packet Size", Options: throughDoor, Clauses: []string{
			"MQTT-3.1.2-24", "MQTT-3.2.2-19", "MQTT-3.2.2-20", "MQTT-3.4.2-2", "MQTT-3.4.2-3", "MQTT-3.5.2-2", "MQTT-3.5.2-3", "MQTT-3.6.2-2",
			"MQTT-3.6.2-3", "MQTT-3.7.2-2", "MQTT-3.7.2-3", "MQTT-3.9.2-1", "MQTT-3.9.2-2", "MQTT-3.11.2-1", "MQTT-3.11.2-2", "MQTT-3.14.2-3",
			"MQTT-3.14.2-4",
		}, run: answersFit},
		{Name: "refused/no explanations for who wants none", Options: throughDoor, Clauses: []string{"MQTT-3.1.2-29"}, run: noExplanations},
		{Name: "refused/QoS 2 identifier is free again", Options: throughDoor, Clauses: []string{"MQTT-4.3.3-9", "MQTT-3.5.2-1"}, run: refusedQoS2},
		{Name: "refused/PUBLISH in 3", Options: throughDoor, Clauses: []string{"3.1.1:MQTT-3.3.5-2"}, run: refusedPublishV3},
	}
}

func withUser(id, user, password string, clean bool) *packets.Connect {
	return &packets.Connect{ClientID: id, CleanStart: clean, UserName: packets.Some(user), Password: []byte(password)}
}

func refusedConnects(c *context) {
	for i, v := range versions {
		mine := func(user, password string) (*mqtttest.Client, *packets.ConnAck) {
			p := withUser("c", user, password, false)
			if v == packets.V5 {
				p.Properties.SessionExpiryInterval = packets.Some(uint32(day))
			}
			cl := c.dial(i, v)
			return cl, cl.TryConnect(p)
		}
		cl, ack := mine("ann", password)
		c.code(packets.Success, ack.ReasonCode)
		cl.Disconnect()
		for user, code := range refusals {
			switch {
			case v != packets.V5:
				code = v3Code(code)
			case code == packets.TopicFilterInvalid:
				code = packets.TopicNameInvalid
			case code == packets.KeepAliveTimeout:
				code = packets.ImplementationSpecificError
			}
			cl, ack := mine(user, "")
			c.code(code, ack.ReasonCode)
			require.False(c, ack.SessionPresent, "in a refusal")
			require.Equal(c, v == packets.V5, ack.Properties.ReasonString.Set)
			cl.ExpectClosed()
		}
		cl, ack = mine("ann", "wrong")
		c.code(packets.BadUserNameOrPassword, ack.ReasonCode)
		cl.ExpectClosed()
		cl, ack = mine("ann", password) // the session has not suffered
		require.Equal(c, v != packets.V31, ack.SessionPresent)
		cl.Disconnect()
		cl = c.dial(i, v)
		cl.Connect(withUser("c", "ann", password, true))
		cl.Disconnect()
	}
}

// v3Code is what is left of a reason code in a CONNACK of MQTT 3, which has five.
func v3Code(code packets.ReasonCode) packets.ReasonCode {
	switch code {
	case packets.BadUserNameOrPassword, packets.ClientIdentifierNotValid, packets.NotAuthorized:
		return code
	case packets.Banned:
		return packets.NotAuthorized
	}
	return packets.ServerUnavailable
}

func behindRefused(c *context) {
	sub := c.v5(1, "sub")
	sub.Subscribe(1, "#")
	for _, v := range versions {
		cl := c.dial(0, v)
		raw, err := packets.Append(nil, withUser("c", "bob", "x", true), v)
		require.NoError(c, err)
		for _, p := range []packets.Packet{
			&packets.Subscribe{PacketID: 1, Subscriptions: []packets.Subscription{{TopicFilter: "t"}}},
			&packets.Publish{TopicName: "t", Payload: []byte("m")},
			&packets.Publish{TopicName: "t", Payload: []byte("m"), QoS: 1, PacketID: 2, Retain: true},
			&packets.PingReq{},
		} {
			raw, err = packets.Append(raw, p, v)
			require.NoError(c, err)
		}
		cl.SendRaw(raw)
		ack := cl.Next().(*packets.ConnAck)
		c.code(packets.BadUserNameOrPassword, ack.ReasonCode)
		cl.ExpectClosed()
	}
	sub.ExpectQuiet()
	late := c.v5(2, "late")
	late.Subscribe(1, "t")
	late.ExpectQuiet()
}

func allFields(c *context) {
	watch := watch(c)
	for i, v := range versions {
		for _, retain := range []byte{0, 0x20} {
			cl := c.dial(i, v)
			cl.SendRaw(rawConnect(v, 0xce|retain, props("\x21\x00\x05"), text("c"), props("\x01\x01"), text("will"), text("gone"), text("ann"), text(password)))
			c.code(packets.Success, mqtttest.Expect[*packets.ConnAck](cl).ReasonCode)
			cl.Close()
			p := watch.ExpectPublish("will", "gone")
			require.EqualValues(c, 1, p.QoS)
			require.Equal(c, v == packets.V5, p.Properties.PayloadFormatIndicator.Set)
		}
		cl := c.dial(i, v) // each field is where it belongs: the will is not the password
		cl.SendRaw(rawConnect(v, 0xc6, "", text("c"), props(""), text("ann"), text(password), text("ann"), text("gone")))
		c.code(packets.BadUserNameOrPassword, mqtttest.Expect[*packets.ConnAck](cl).ReasonCode)
		cl.ExpectClosed()
		empty := c.dial(i, v)                                                     // present and empty
		empty.SendRaw(rawConnect(v, 0xc2, "", text("empty"), text(""), text(""))) // a ClientID of its own: "c" is ann's
		c.code(packets.Success, mqtttest.Expect[*packets.ConnAck](empty).ReasonCode)
		empty.Disconnect()
	}
	watch.ExpectQuiet()
}

// answersFit gets every answer there is, refusals with their long reasons among them, in a few bytes. The client fails the test at a packet
// that is larger.
func answersFit(c *context) {
	small := func(p *packets.Connect, size int) *packets.Connect {
		p.Properties.MaximumPacketSize = packets.Some(uint32(size))
		return p
	}
	cl := c.dial(0, packets.V5)
	ack := cl.TryConnect(small(withUser("c", "bob", "", true), 5))
	c.code(packets.BadUserNameOrPassword, ack.ReasonCode)
	require.False(c, ack.Properties.ReasonString.Set)
	cl.ExpectClosed()

	cl = c.dial(0, packets.V5)
	cl.Manual = true
	cl.Connect(&packets.Connect{ClientID: "c", CleanStart: true, Properties: packets.Properties{MaximumPacketSize: packets.Some(uint32(64))}})
	cl.MaxPacket = 64
	c.code(packets.NotAuthorized, cl.SubscribeWith(&packets.Subscribe{Subscriptions: []packets.Subscription{{TopicFilter: "no/t"}}}).ReasonCodes[0])
	require.Equal(c, []packets.ReasonCode{packets.TopicFilterInvalid}, cl.Unsubscribe("a/#/b"))
	user := packets.Properties{UserProperties: []packets.UserProperty{{Key: long[:1000], Value: long[:1000]}}}
	for qos := packets.QoS(1); qos <= 2; qos++ {
		c.code(packets.NotAuthorized, cl.PublishWith(&packets.Publish{QoS: qos, TopicName: "no/t", Properties: user}))
		c.code(packets.NoMatchingSubscribers, cl.PublishWith(&packets.Publish{QoS: qos, Retain: true, TopicName: "t", Properties: user}))
	}
	cl.Send(&packets.PubRel{PacketID: 77, Properties: user})
	c.code(packets.PacketIdentifierNotFound, mqtttest.Expect[*packets.PubComp](cl).ReasonCode)
	cl.Send(&packets.PubRec{PacketID: 78, Properties: user})
	c.code(packets.PacketIdentifierNotFound, mqtttest.Expect[*packets.PubRel](cl).ReasonCode)
	cl.Send(&packets.Connect{ClientID: "c"})
	cl.ExpectDisconnect(packets.ProtocolError)
}

// noExplanations holds that a client that asks for none gets Reason Strings in CONNACK and DISCONNECT at most, and no User Properties.
func noExplanations(c *context) {
	for _, want := range []bool{true, false} {
		connect := &packets.Connect{ClientID: "c", CleanStart: true}
		if !want {
			connect.Properties.RequestProblemInformation = packets.Some(byte(0))
		}
		cl, _ := c.with(0, connect)
		cl.Manual = true
		sub := cl.SubscribeWith(&packets.Subscribe{
			Subscriptions: []packets.Subscription{{TopicFilter: "no/t"}, {TopicFilter: "a/#/b"}},
			Properties:    packets.Properties{UserProperties: []packets.UserProperty{{Key: "k", Value: "v"}}},
		})
		require.Equal(c, []packets.ReasonCode{packets.NotAuthorized, packets.TopicFilterInvalid}, sub.ReasonCodes)
		require.Equal(c, want, sub.Properties.ReasonString.Set)
		require.Empty(c, sub.Properties.UserProperties)
		plain := func(p packets.Properties) {
			c.Helper()
			require.Empty(c, p.UserProperties)
			if !want {
				require.False(c, p.ReasonString.Set)
			}
		}
		user := packets.Properties{UserProperties: []packets.UserProperty{{Key: "k", Value: "v"}}}
		for _, topic := range []string{"no/t", "t"} {
			cl.Send(&packets.Publish{QoS: 1, PacketID: 5, TopicName: topic, Properties: user})
			plain(mqtttest.Expect[*packets.PubAck](cl).Properties)
			cl.Send(&packets.Publish{QoS: 2, PacketID: 6, TopicName: topic, Properties: user})
			plain(mqtttest.Expect[*packets.PubRec](cl).Properties)
			cl.Send(&packets.PubRel{PacketID: 6, Properties: user})
			plain(mqtttest.Expect[*packets.PubComp](cl).Properties)
		}
		cl.Send(&packets.PubRec{PacketID: 9, Properties: user})
		plain(mqtttest.Expect[*packets.PubRel](cl).Properties)
		cl.Send(&packets.Unsubscribe{PacketID: 7, TopicFilters: []string{"a/#/b"}, Properties: user})
		plain(mqtttest.Expect[*packets.UnsubAck](cl).Properties)
		cl.Disconnect()
	}
}

func refusedQoS2(c *context) {
	sub := c.v5(1, "sub")
	sub.Subscribe(2, "yes", "+/t")
	pub := c.v5(0, "pub")
	for i := range 3 {
		pub.Send(&packets.Publish{QoS: 2, PacketID: 7, TopicName: "no/t", Payload: []byte("refused")})
		c.code(packets.NotAuthorized, mqtttest.Expect[*packets.PubRec](pub).ReasonCode)
		payload := fmt.Sprint(i)
		pub.Send(&packets.Publish{QoS: 2, PacketID: 7, TopicName: "yes", Payload: []byte(payload)}) // a new message
		c.code(packets.Success, mqtttest.Expect[*packets.PubRec](pub).ReasonCode)
		pub.Send(&packets.PubRel{PacketID: 7})
		c.code(packets.Success, mqtttest.Expect[*packets.PubComp](pub).ReasonCode)
		sub.ExpectPublish("yes", payload)
	}
	sub.ExpectQuiet()
}

// refusedPublishV3 holds that a client of MQTT 3, which cannot be told, gets its acknowledgements, and nobody the message.
func refusedPublishV3(c *context) {
	sub := c.v5(1, "sub")
	sub.Subscribe(2, "#")
	for _, v := range versions[:2] {
		pub := c.connect(0, v, "pub")
		for qos := range packets.QoS(3) {
			pub.Publish(qos, "no/t", "m")
			pub.PublishWith(&packets.Publish{QoS: qos, Retain: true, TopicName: "no/t", Payload: []byte("m")})
		}
		pub.Publish(1, "yes", strings.ToUpper(v.String()))
		sub.ExpectPublish("yes", strings.ToUpper(v.String()))
	}
	sub.ExpectQuiet()
}
