package behaviour

import (
	stdcontext "context"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/internal/mqtttest"
	"github.com/shoalmq/shoal/packets"
)

func enhancedCases() []Case {
	return []Case{
		{Name: "enhanced/exchange before CONNACK", Options: throughQuestions, Clauses: []string{
			"MQTT-4.12.0-2", "MQTT-4.12.0-3", "MQTT-4.12.0-5", "MQTT-3.15.2-1", "MQTT-3.2.0-1",
		}, run: enhancedConnect},
		{Name: "enhanced/refused", Options: throughQuestions, Clauses: []string{
			"MQTT-4.12.0-1", "MQTT-4.12.0-3", "MQTT-4.12.0-4", "MQTT-4.12.0-5", "MQTT-3.1.2-30", "MQTT-3.1.4-6", "MQTT-3.15.1-1", "MQTT-3.15.2-1",
		}, run: enhancedRefused},
		{Name: "enhanced/without a method", Options: throughQuestions, Clauses: []string{"MQTT-4.12.0-6", "MQTT-4.12.0-7"}, run: enhancedWithout},
		{Name: "enhanced/re-authentication", Options: throughQuestions, Clauses: []string{"MQTT-4.12.1-1", "MQTT-4.12.0-5"}, run: reauthentication},
		{Name: "enhanced/re-authentication refused", Options: throughQuestions, Clauses: []string{
			"MQTT-4.12.1-1", "MQTT-4.12.1-2", "MQTT-3.15.1-1", "MQTT-3.15.2-1", "MQTT-4.13.2-1",
		}, run: reauthenticationRefused},
		{Name: "enhanced/steps fit the client's Maximum Packet Size", Options: throughQuestions, Clauses: []string{
			"MQTT-3.15.2-2", "MQTT-3.15.2-3", "MQTT-3.1.2-24",
		}, run: enhancedFits},
	}
}

// questions is an authenticator with a method that asks until it hears "yes", and refuses a "no".
type questions struct{ door }

func throughQuestions() []shoal.Option { return []shoal.Option{shoal.WithAuthenticator(questions{})} }

const method = "questions"

func (questions) AuthenticationMethods() []string { return []string{method} }

func (q questions) BeginAuthentication(stdcontext.Context, *shoal.Credentials, string) (shoal.AuthenticationExchange, error) {
	return q, nil
}

func (questions) Step(_ stdcontext.Context, data []byte) (shoal.AuthenticationStep, error) {
	switch said := string(data); {
	case strings.HasPrefix(said, "yes"):
		return shoal.AuthenticationStep{Done: true, Data: []byte("well")}, nil
	case strings.HasPrefix(said, "no"):
		return shoal.AuthenticationStep{}, &shoal.Error{ReasonCode: packets.NotAuthorized, Reason: reason}
	}
	return shoal.AuthenticationStep{Data: []byte("really?")}, nil
}

func saying(what string) packets.Properties {
	return packets.Properties{AuthenticationMethod: packets.Some(method), AuthenticationData: []byte(what)}
}

func auth(code packets.ReasonCode, what string) *packets.Auth {
	return &packets.Auth{ReasonCode: code, Properties: saying(what)}
}

func connectSaying(what string) *packets.Connect {
	return &packets.Connect{ClientID: "c", CleanStart: true, Properties: saying(what)}
}

// asked expects the AUTH that asks on.
func asked(c *context, cl *mqtttest.Client) {
	c.Helper()
	require.Equal(c, auth(packets.ContinueAuthentication, "really?"), cl.Next())
}

func enhancedConnect(c *context) {
	for i := range 3 {
		cl := c.dial(i, packets.V5)
		cl.Send(connectSaying("perhaps"))
		for range i {
			asked(c, cl)
			cl.Send(auth(packets.ContinueAuthentication, "perhaps"))
		}
		asked(c, cl)
		cl.Send(auth(packets.ContinueAuthentication, "yes"))
		ack := cl.Next().(*packets.ConnAck)
		c.code(packets.Success, ack.ReasonCode)
		require.Equal(c, method, ack.Properties.AuthenticationMethod.Value)
		require.Equal(c, "well", string(ack.Properties.AuthenticationData))
		cl.Subscribe(1, "t")
		cl.Publish(1, "t", "m")
		cl.ExpectPublish("t", "m")
		cl.Disconnect()
	}
}

func enhancedRefused(c *context) {
	sub := c.v5(1, "sub")
	sub.Subscribe(0, "#")
	other := auth(packets.ContinueAuthentication, "yes")
	other.Properties.AuthenticationMethod = packets.Some("other")
	for _, bad := range []struct {
		send []any // packets, or raw bytes
		code packets.ReasonCode
	}{
		{[]any{auth(packets.ContinueAuthentication, "no")}, packets.NotAuthorized},
		{[]any{other}, packets.BadAuthenticationMethod},
		{[]any{auth(packets.ReAuthenticate, "yes")}, packets.ProtocolError},
		{[]any{auth(packets.Success, "yes")}, packets.ProtocolError},
		{[]any{&packets.Publish{TopicName: "t"}}, packets.ProtocolError},
		{[]any{&packets.PingReq{}}, packets.ProtocolError},
		{[]any{connectSaying("yes")}, packets.ProtocolError},
		{[]any{"\xf1\x00"}, packets.MalformedPacket},
		{[]any{"\xf0\x0e\x01\x0c\x15\x00\x09questions"}, packets.ProtocolError},
		{[]any{auth(packets.ContinueAuthentication, "no"), &packets.Publish{TopicName: "t"}}, packets.NotAuthorized},
	} {
		cl := c.dial(0, packets.V5)
		cl.Send(connectSaying("perhaps"))
		asked(c, cl)
		var out []byte
		for _, p := range bad.send {
			if raw, ok := p.(string); ok {
				out = append(out, raw...)
				continue
			}
			var err error
			out, err = packets.Append(out, p.(packets.Packet), packets.V5)
			require.NoError(c, err)
		}
		cl.SendRaw(out)
		ack := mqtttest.Expect[*packets.ConnAck](cl)
		c.code(bad.code, ack.ReasonCode)
		require.False(c, ack.SessionPresent)
		require.True(c, ack.Properties.ReasonString.Set)
		cl.ExpectClosed()
	}
	unknown := connectSaying("yes")
	unknown.Properties.AuthenticationMethod = packets.Some("unknown")
	cl := c.dial(2, packets.V5)
	c.code(packets.BadAuthenticationMethod, cl.TryConnect(unknown).ReasonCode)
	cl.ExpectClosed()
	sub.ExpectQuiet()
}

func enhancedWithout(c *context) {
	for i, v := range versions {
		cl := c.dial(i, v)
		ack := cl.Connect(&packets.Connect{ClientID: "c", CleanStart: true, UserName: packets.Some("ann"), Password: []byte(password)})
		require.False(c, ack.Properties.AuthenticationMethod.Set)
		require.Nil(c, ack.Properties.AuthenticationData)
		cl.ExpectQuiet()
		raw, err := packets.Append(nil, auth(packets.ReAuthenticate, "yes"), packets.V5)
		require.NoError(c, err)
		cl.SendRaw(raw)
		cl.ExpectDisconnect(packets.ProtocolError)
	}
}

func reauthentication(c *context) {
	cl := c.dial(0, packets.V5)
	cl.Connect(connectSaying("yes"))
	cl.Subscribe(1, "t")
	pub := c.v5(1, "pub")
	for range 3 {
		cl.Send(auth(packets.ReAuthenticate, "perhaps"))
		asked(c, cl)
		pub.Publish(1, "t", "meanwhile") // everything else goes on
		cl.ExpectPublish("t", "meanwhile")
		cl.ExpectQuiet()
		cl.Send(auth(packets.ContinueAuthentication, "yes"))
		require.Equal(c, auth(packets.Success, "well"), cl.Next())
		cl.ExpectQuiet()
	}
}

func reauthenticationRefused(c *context) {
	other := auth(packets.ReAuthenticate, "yes")
	other.Properties.AuthenticationMethod = packets.Some("other")
	for _, bad := range []struct {
		raw  string
		send *packets.Auth
		code packets.ReasonCode
	}{
		{send: auth(packets.ReAuthenticate, "no"), code: packets.NotAuthorized},
		{send: other, code: packets.BadAuthenticationMethod},
		{send: auth(packets.ContinueAuthentication, "yes"), code: packets.ProtocolError},
		{send: auth(packets.Success, "yes"), code: packets.ProtocolError},
		{raw: "\xf2\x00", code: packets.MalformedPacket},
		{raw: "\xf0\x0e\x80\x0c\x15\x00\x09questions", code: packets.ProtocolError},
		{raw: "\xf0\x02\x19\x00", code: packets.ProtocolError},
	} {
		cl := c.dial(2, packets.V5)
		cl.Connect(connectSaying("yes"))
		if bad.send != nil {
			cl.Send(bad.send)
		} else {
			cl.SendRaw([]byte(bad.raw))
		}
		require.True(c, cl.ExpectDisconnect(bad.code).Properties.ReasonString.Set)
	}
}

// enhancedFits holds that AUTH has nothing that makes it too large: the server's have no Reason String and no User Property, and a step
// that does not fit ends the exchange.
func enhancedFits(c *context) {
	connect := connectSaying("perhaps")
	connect.Properties.UserProperties = []packets.UserProperty{{Key: "k", Value: "v"}}
	connect.Properties.MaximumPacketSize = packets.Some(uint32(26)) // as large as the question is
	cl := c.dial(0, packets.V5)
	cl.MaxPacket = 26
	cl.Send(connect)
	asked(c, cl)
	tiny := connectSaying("perhaps")
	tiny.Properties.MaximumPacketSize = packets.Some(uint32(20))
	cl = c.dial(1, packets.V5)
	ack := cl.TryConnect(tiny)
	c.code(packets.PacketTooLarge, ack.ReasonCode)
	cl.ExpectClosed()
}
