package shoal_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/internal/mqtttest"
	"github.com/shoalmq/shoal/packets"
)

// TestExpiredLoginEndsTheConnection holds that a silent client, and one that never is, are disconnected
// when their login expires, whatever their Keep Alive.
func TestExpiredLoginEndsTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := startWith(t, shoal.WithAuthenticator(door{enter: func(c *shoal.Credentials) (*shoal.Principal, error) {
			p := &shoal.Principal{Name: c.ClientID}
			if c.ClientID != "for ever" {
				p.Expires = time.Now().Add(time.Minute)
			}
			return p, nil
		}}))
		began := time.Now()
		silent, busy, stays := connect(t, b, "silent"), connect(t, b, "busy"), connect(t, b, "for ever")
		alive, _ := connectWith(t, b, &packets.Connect{ClientID: "alive", CleanStart: true, KeepAlive: 600})
		for time.Since(began) < 59*time.Second {
			require.False(t, busy.Publish(1, "x", "m").IsError())
			time.Sleep(500 * time.Millisecond)
		}
		time.Sleep(time.Until(began.Add(time.Minute)))
		for _, c := range []interface {
			ExpectDisconnect(code packets.ReasonCode) *packets.Disconnect
		}{silent, busy, alive} {
			d := c.ExpectDisconnect(packets.MaximumConnectTime)
			require.Equal(t, "the login has expired", d.Properties.ReasonString.Value)
		}
		require.Less(t, time.Since(began), 61*time.Second)
		require.False(t, stays.Publish(1, "x", "m").IsError())
	})
}

// minutes lets everybody in for a minute, and who says "never" for ever and "soon" for a second, by an exchange of one step.
type minutes struct{ door }

func (minutes) AuthenticationMethods() []string { return []string{"turns"} }

func (m minutes) BeginAuthentication(context.Context, *shoal.Credentials, string) (shoal.AuthenticationExchange, error) {
	return m, nil
}

func (minutes) Step(_ context.Context, data []byte) (shoal.AuthenticationStep, error) {
	p := &shoal.Principal{Name: "x"}
	switch string(data) {
	case "never":
	case "soon":
		p.Expires = time.Now().Add(time.Second)
	default:
		p.Expires = time.Now().Add(time.Minute)
	}
	return shoal.AuthenticationStep{Done: true, Principal: p}, nil
}

// TestReauthenticationProlongsALogin holds that the time of the new principal counts, be it later or
// sooner, and that a login that has expired already ends at once.
func TestReauthenticationProlongsALogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := startWith(t, shoal.WithAuthenticator(minutes{door{enter: func(*shoal.Credentials) (*shoal.Principal, error) {
			return &shoal.Principal{Name: "x", Expires: time.Now().Add(-time.Second)}, nil
		}}}))
		late, _ := connectWith(t, b, &packets.Connect{ClientID: "late", CleanStart: true})
		late.ExpectDisconnect(packets.MaximumConnectTime)
		began := time.Now()
		never := authConnect("never")
		never.ClientID = "never"
		shortened, _ := connectWith(t, b, never)
		c, _ := connectWith(t, b, authConnect("x"))
		time.Sleep(50 * time.Second)
		raw, err := packets.Append(nil, auth(packets.ReAuthenticate, "x"), packets.V5)
		require.NoError(t, err)
		c.SendRaw(raw)
		require.Equal(t, packets.Success, mqtttest.Expect[*packets.Auth](c).ReasonCode)
		raw, err = packets.Append(nil, auth(packets.ReAuthenticate, "soon"), packets.V5)
		require.NoError(t, err)
		shortened.SendRaw(raw)
		require.Equal(t, packets.Success, mqtttest.Expect[*packets.Auth](shortened).ReasonCode)
		time.Sleep(time.Second)
		shortened.ExpectDisconnect(packets.MaximumConnectTime)
		require.InDelta(t, 51, time.Since(began).Seconds(), 0.5)
		time.Sleep(50 * time.Second)
		require.False(t, c.Publish(1, "t", "m").IsError())
		time.Sleep(time.Until(began.Add(109 * time.Second)))
		c.ExpectDisconnect(packets.MaximumConnectTime)
		require.InDelta(t, 110, time.Since(began).Seconds(), 1)
	})
}

// TestAuthenticatorChoosesTheClientID holds that a ClientID of the Authenticator takes the place of the
// client's own, everywhere.
func TestAuthenticatorChoosesTheClientID(t *testing.T) {
	var asked atomic.Value
	b := startWith(t, shoal.WithAuthenticator(door{
		enter: func(c *shoal.Credentials) (*shoal.Principal, error) {
			id := map[string]string{"long": strings.Repeat("x", 70_000), "odd": "a\x00b", "own": ""}[c.UserName]
			if c.UserName == "chosen" {
				id = "by certificate"
			}
			return &shoal.Principal{Name: "x", ClientID: id}, nil
		},
		allow: func(r *shoal.AccessRequest) error { asked.Store(r.ClientID); return nil },
	}))
	enter := func(id, user string) (publish func(), ack *packets.ConnAck) {
		c, ack := connectWith(t, b, &packets.Connect{ClientID: id, CleanStart: true, UserName: packets.Some(user)})
		return func() { require.False(t, c.Publish(1, "t", "m").IsError()) }, ack
	}
	publish, ack := enter("other", "chosen")
	require.Equal(t, packets.Success, ack.ReasonCode)
	publish()
	require.Equal(t, "by certificate", asked.Load())
	publish, ack = enter("", "chosen")                                                // takes over
	require.Equal(t, "by certificate", ack.Properties.AssignedClientIdentifier.Value) // [MQTT-3.2.2-16]
	publish()
	publish, _ = enter("mine", "own")
	publish()
	require.Equal(t, "mine", asked.Load())
	for _, user := range []string{"long", "odd"} {
		c := dial(t, b, packets.V5)
		c.Send(&packets.Connect{ClientID: "z", CleanStart: true, UserName: packets.Some(user)})
		require.Equal(t, packets.ClientIdentifierNotValid, mqtttest.Expect[*packets.ConnAck](c).ReasonCode)
	}
}

// TestUnavailableAuthorizerIsAskedAgain holds that an answer that is none is not remembered.
func TestUnavailableAuthorizerIsAskedAgain(t *testing.T) {
	var down atomic.Bool
	down.Store(true)
	b := startWith(t, shoal.WithAuthenticator(door{allow: func(*shoal.AccessRequest) error {
		if down.Load() {
			return refuse(packets.ServerUnavailable)
		}
		return nil
	}}))
	c := connect(t, b, "c")
	require.True(t, c.Publish(1, "t", "m").IsError())
	down.Store(false)
	require.False(t, c.Publish(1, "t", "m").IsError())
}
