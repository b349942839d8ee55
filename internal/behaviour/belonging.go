package behaviour

import (
	stdcontext "context"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/packets"
)

func belongingCases() []Case {
	return []Case{
		{Name: "belonging/another principal is refused", Options: byUserName, run: belongsToItsPrincipal},
		{Name: "belonging/over with the session", Options: byUserName, run: belongsUntilItsEnd},
		{Name: "belonging/any principal", Options: byAnyUserName, run: belongsToAny},
		{Name: "belonging/nobody is known", run: belongsToNobody},
	}
}

// named lets everybody in as who they say they are.
type named struct{}

func (named) Authenticate(_ stdcontext.Context, c *shoal.Credentials) (*shoal.Principal, error) {
	return &shoal.Principal{Name: c.UserName}, nil
}

func byUserName() []shoal.Option { return []shoal.Option{shoal.WithAuthenticator(named{})} }

func byAnyUserName() []shoal.Option {
	return append(byUserName(), shoal.WithSessionsOfAnyPrincipal())
}

func as(name string, p *packets.Connect) *packets.Connect {
	p.UserName = packets.Some(name)
	return p
}

// belongsToItsPrincipal holds that another user neither gets nor destroys the session of a ClientID, connected or not, wherever it connects.
func belongsToItsPrincipal(c *context) {
	pub := c.v5(2, "pub")
	for _, connected := range []bool{true, false} {
		ann, _ := c.with(0, as("ann", kept("c", true)))
		ann.Subscribe(1, "secret")
		if !connected {
			ann.Disconnect()
		}
		pub.Publish(1, "secret", "1")
		for i := range 3 {
			for _, clean := range []bool{false, true} {
				bob := c.dial(i, packets.V5)
				c.code(packets.NotAuthorized, bob.TryConnect(as("bob", kept("c", clean))).ReasonCode)
				bob.ExpectClosed()
				old := c.dial(i, packets.V311)
				c.code(packets.NotAuthorized, old.TryConnect(as("bob", &packets.Connect{ClientID: "c", CleanStart: clean})).ReasonCode)
				old.ExpectClosed()
			}
		}
		if !connected {
			again, ack := c.with(1, as("ann", kept("c", false)))
			require.True(c, ack.SessionPresent)
			ann = again
		}
		ann.ExpectPublish("secret", "1")
		pub.Publish(1, "secret", "2")
		ann.ExpectPublish("secret", "2")
		ann.Disconnect()
	}
}

// belongsUntilItsEnd holds that a ClientID is anybody's once the session is over.
func belongsUntilItsEnd(c *context) {
	ann, _ := c.with(0, as("ann", &packets.Connect{ClientID: "c", CleanStart: true}))
	ann.Disconnect()
	c.soon("the ClientID is free", func() bool {
		bob := c.dial(1, packets.V5)
		defer bob.Close()
		return bob.TryConnect(as("bob", &packets.Connect{ClientID: "c"})).ReasonCode == packets.Success
	})
}

// belongsToAny holds what the option says.
func belongsToAny(c *context) {
	ann, _ := c.with(0, as("ann", kept("c", true)))
	ann.Subscribe(1, "t")
	bob, ack := c.with(1, as("bob", kept("c", false)))
	require.True(c, ack.SessionPresent)
	ann.ExpectDisconnect(packets.SessionTakenOver)
	c.v5(2, "pub").Publish(1, "t", "1")
	bob.ExpectPublish("t", "1")
}

// belongsToNobody holds that a broker which lets everybody in makes no difference between names.
func belongsToNobody(c *context) {
	ann, _ := c.with(0, as("ann", kept("c", true)))
	_, ack := c.with(1, as("bob", kept("c", false)))
	require.True(c, ack.SessionPresent)
	ann.ExpectDisconnect(packets.SessionTakenOver)
}
