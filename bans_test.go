package shoal_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/internal/mqtttest"
	"github.com/shoalmq/shoal/packets"
)

func asUser(name string) *packets.Connect {
	return &packets.Connect{ClientID: "of " + name, CleanStart: true, UserName: packets.Some(name)}
}

// expectBanned expects CONNECT to be refused, in v5 with a reason that contains text.
func expectBanned(t testing.TB, cl *mqtttest.Client, p *packets.Connect, text string) {
	t.Helper()
	ack := cl.TryConnect(p)
	if cl.Version == packets.V5 {
		require.Equal(t, packets.Banned, ack.ReasonCode)
		require.Contains(t, ack.Properties.ReasonString.Value, text)
	} else {
		require.Equal(t, packets.NotAuthorized, ack.ReasonCode)
	}
	cl.ExpectClosed()
}

// TestBan holds that each kind of ban disconnects those it is about, keeps them out, and nobody else, until it is lifted.
func TestBan(t *testing.T) {
	l := listenAnywhere("l")
	asked := 0
	b := startWith(t, shoal.WithListener(l), shoal.WithAuthenticator(door{enter: func(c *shoal.Credentials) (*shoal.Principal, error) {
		asked++
		if c.UserName == "alias" {
			return &shoal.Principal{Name: "ann"}, nil
		}
		return nil, nil
	}}))
	for _, tc := range []struct {
		name, text string
		ban        shoal.Ban
		lift       shoal.Ban
		in         func(cl *mqtttest.Client) *packets.Connect
		from       string
	}{
		{
			"client", "this client is banned: because",
			shoal.Ban{ClientID: "of ann", Reason: "because"},
			shoal.Ban{ClientID: "of ann"},
			func(*mqtttest.Client) *packets.Connect { return asUser("ann") }, "192.0.2.1",
		},
		{
			"principal by user name", "this user is banned",
			shoal.Ban{Principal: "ann"},
			shoal.Ban{Principal: "ann"},
			func(*mqtttest.Client) *packets.Connect { return asUser("ann") }, "192.0.2.1",
		},
		{
			"principal by authenticator", "this user is banned",
			shoal.Ban{Principal: "ann"},
			shoal.Ban{Principal: "ann", Reason: "x"},
			func(*mqtttest.Client) *packets.Connect { return asUser("alias") }, "192.0.2.1",
		},
		{
			"address", "this address is banned",
			shoal.Ban{Address: netip.MustParsePrefix("192.0.2.1/32")},
			shoal.Ban{Address: netip.MustParsePrefix("192.0.2.1/32")},
			func(*mqtttest.Client) *packets.Connect { return asUser("ann") }, "192.0.2.1",
		},
		{
			"range", "this address is banned",
			shoal.Ban{Address: netip.MustParsePrefix("192.0.2.7/30")},
			shoal.Ban{Address: netip.MustParsePrefix("192.0.2.4/30")},
			func(*mqtttest.Client) *packets.Connect { return asUser("ann") }, "192.0.2.6",
		},
		{
			"IPv6", "this address is banned",
			shoal.Ban{Address: netip.MustParsePrefix("2001:db8::/32")},
			shoal.Ban{Address: netip.MustParsePrefix("2001:db8::/32")},
			func(*mqtttest.Client) *packets.Connect { return asUser("ann") }, "2001:db8::7",
		},
		{
			"IPv4 written as IPv6", "this address is banned",
			shoal.Ban{Address: netip.MustParsePrefix("::ffff:192.0.2.0/120")},
			shoal.Ban{Address: netip.MustParsePrefix("192.0.2.0/24")},
			func(*mqtttest.Client) *packets.Connect { return asUser("ann") }, "192.0.2.6",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, v := range []packets.Version{packets.V5, packets.V311} {
				other := dialFrom(t, l, "198.51.100.1", v)
				other.Connect(asUser("bob"))
				cl := dialFrom(t, l, tc.from, v)
				p := tc.in(cl)
				cl.Connect(p)
				require.NoError(t, b.Ban(t.Context(), tc.ban))
				d := cl.ExpectDisconnect(packets.AdministrativeAction)
				if v == packets.V5 {
					require.Contains(t, d.Properties.ReasonString.Value, tc.text)
				}
				before := asked
				expectBanned(t, dialFrom(t, l, tc.from, v), p, tc.text)
				if p.UserName.Value != "alias" {
					require.Equal(t, before, asked, "the authenticator was asked about somebody banned")
				}
				other.ExpectQuiet()
				dialFrom(t, l, "198.51.100.1", v).Connect(asUser("cat"))
				require.Len(t, b.Bans(), 1)
				for _, want := range []bool{true, false} {
					found, err := b.Unban(t.Context(), tc.lift)
					require.NoError(t, err)
					require.Equal(t, want, found)
				}
				require.Empty(t, b.Bans())
				dialFrom(t, l, tc.from, v).Connect(p)
			}
		})
	}
}

// TestBanEnds holds that a ban ends by itself, to the second, and that a new one takes the place of an old one.
func TestBanEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t)
		ban := shoal.Ban{ClientID: "c", Until: time.Now().Add(time.Minute), Reason: "first"}
		require.NoError(t, b.Ban(t.Context(), ban))
		p := &packets.Connect{ClientID: "c", CleanStart: true}
		time.Sleep(time.Minute - time.Second)
		expectBanned(t, dial(t, b, packets.V5), p, "until 2000-01-01T00:01:00Z: first")
		ban.Until, ban.Reason = ban.Until.Add(time.Minute), "second"
		require.NoError(t, b.Ban(t.Context(), ban))
		time.Sleep(time.Second)
		expectBanned(t, dial(t, b, packets.V5), p, "second")
		require.Equal(t, []shoal.Ban{ban}, b.Bans())
		time.Sleep(time.Minute)
		dial(t, b, packets.V5).Connect(p)
		require.Empty(t, b.Bans())
		found, err := b.Unban(t.Context(), ban)
		require.NoError(t, err)
		require.False(t, found, "it had ended")
	})
}

// TestBanWhileConnecting holds that a ban made while a client is being authenticated finds it.
func TestBanWhileConnecting(t *testing.T) {
	for _, ban := range []shoal.Ban{{ClientID: "of ann"}, {Principal: "ann"}} {
		asked, answer := make(chan struct{}), make(chan struct{})
		b := startWith(t, shoal.WithAuthenticator(door{enter: func(*shoal.Credentials) (*shoal.Principal, error) {
			close(asked)
			<-answer
			return nil, nil
		}}))
		cl := dial(t, b, packets.V5)
		cl.Send(asUser("ann"))
		<-asked
		require.NoError(t, b.Ban(t.Context(), ban))
		close(answer)
		require.Equal(t, packets.Banned, mqtttest.Expect[*packets.ConnAck](cl).ReasonCode)
		cl.ExpectClosed()
	}
}

// TestBanOfReauthenticated holds that a client cannot become somebody who is banned, and is found under its new name.
func TestBanOfReauthenticated(t *testing.T) {
	b := startWith(t, shoal.WithAuthenticator(newTurns()))
	cl := dial(t, b, packets.V5)
	cl.Connect(authConnect("I am ann"))
	cl.Send(auth(packets.ReAuthenticate, "I am eve"))
	expectAuth(t, cl, packets.Success, "hello eve")
	require.NoError(t, b.Ban(t.Context(), shoal.Ban{Principal: "ann"}))
	cl.ExpectQuiet()
	cl.Send(auth(packets.ReAuthenticate, "I am ann"))
	cl.ExpectDisconnect(packets.AdministrativeAction)
	cl = dial(t, b, packets.V5)
	cl.Connect(authConnect("I am bob"))
	cl.Send(auth(packets.ReAuthenticate, "I am eve"))
	expectAuth(t, cl, packets.Success, "hello eve")
	require.NoError(t, b.Ban(t.Context(), shoal.Ban{Principal: "eve"}))
	cl.ExpectDisconnect(packets.AdministrativeAction)
}

// TestBansSurvive holds that bans are stored, and lifted ones are not.
func TestBansSurvive(t *testing.T) {
	restarts(t, func(t *testing.T, restart func() *shoal.Broker) {
		b := restart()
		want := []shoal.Ban{
			{Address: netip.MustParsePrefix("192.0.2.0/24"), Reason: "r"},
			{Address: netip.MustParsePrefix("192.0.2.0/25")},
			{Principal: "p"},
			{ClientID: "c", Until: time.Unix(0, time.Now().Add(time.Hour).UnixNano())},
		}
		for _, ban := range want {
			require.NoError(t, b.Ban(t.Context(), ban))
		}
		require.NoError(t, b.Ban(t.Context(), shoal.Ban{ClientID: "d"}))
		_, err := b.Unban(t.Context(), shoal.Ban{ClientID: "d"})
		require.NoError(t, err)
		for range 2 {
			b = restart()
			require.Equal(t, want, b.Bans())
			expectBanned(t, dial(t, b, packets.V5), &packets.Connect{ClientID: "c", CleanStart: true}, "until")
			dial(t, b, packets.V5).Connect(&packets.Connect{ClientID: "d", CleanStart: true})
		}
	})
}

// TestBanKeepsSession holds that the session of who is banned goes on, and its will is published.
func TestBanKeepsSession(t *testing.T) {
	b := start(t)
	sub := connect(t, b, "sub")
	sub.Subscribe(1, "will")
	p := lasting("c", false)
	p.Will = &packets.Will{TopicName: "will", Payload: []byte("gone")}
	cl, _ := connectWith(t, b, p)
	cl.Subscribe(1, "t")
	require.NoError(t, b.Ban(t.Context(), shoal.Ban{ClientID: "c"}))
	cl.ExpectDisconnect(packets.AdministrativeAction)
	sub.ExpectPublish("will", "gone")
	sub.Publish(1, "t", "m")
	_, err := b.Unban(t.Context(), shoal.Ban{ClientID: "c"})
	require.NoError(t, err)
	cl, ack := connectWith(t, b, lasting("c", false))
	require.True(t, ack.SessionPresent)
	cl.ExpectPublish("t", "m")
}

func TestBanRefuses(t *testing.T) {
	b := start(t)
	for want, ban := range map[string]shoal.Ban{
		"exactly one":     {},
		"one of ClientID": {ClientID: "c", Principal: "p"},
		"has passed":      {ClientID: "c", Until: time.Now().Add(-time.Second)},
		"70000 bytes":     {ClientID: strings.Repeat("c", 70_000)},
		"and a Reason of": {ClientID: "c", Reason: strings.Repeat("c", 70_000)},
	} {
		require.ErrorContains(t, b.Ban(t.Context(), ban), want)
	}
	_, err := b.Unban(t.Context(), shoal.Ban{})
	require.ErrorContains(t, err, "exactly one")
	require.Empty(t, b.Bans())
	unstarted, err := shoal.New(shoal.WithAnonymous())
	require.NoError(t, err)
	require.ErrorIs(t, unstarted.Ban(t.Context(), shoal.Ban{ClientID: "c"}), shoal.ErrNotStarted)
}

func ExampleBroker_Ban() {
	b, stop := started(shoal.WithAnonymous())
	defer stop()
	ctx := context.Background()
	if err := b.Ban(ctx, shoal.Ban{ClientID: "toaster", Reason: "burns everything"}); err != nil {
		panic(err)
	}
	ack := say(b, &packets.Connect{ProtocolVersion: packets.V5, CleanStart: true, ClientID: "toaster"})[0].(*packets.ConnAck)
	fmt.Println(ack.ReasonCode, "-", ack.Properties.ReasonString.Value)
	// Output: Banned - this client is banned: burns everything
}
