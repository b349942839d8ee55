package shoal_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/packets"
	"github.com/shoalmq/shoal/storage/memory"
)

// TestBelongingSurvives holds that whose session it is survives a restart.
func TestBelongingSurvives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		begin := func() *shoal.Broker {
			b, err := shoal.New(shoal.WithAuthenticator(door{}), shoal.WithStorage(store))
			require.NoError(t, err)
			require.NoError(t, b.Start(t.Context()))
			return b
		}
		as := func(name string, p *packets.Connect) *packets.Connect {
			p.UserName = packets.Some(name)
			return p
		}
		b := begin()
		connectWith(t, b, as("ann", lasting("c", true)))
		stop(t, b)
		b = begin()
		defer func() { stop(t, b) }()
		require.Equal(t, packets.NotAuthorized, dial(t, b, packets.V5).TryConnect(as("bob", lasting("c", true))).ReasonCode)
		require.Equal(t, packets.NotAuthorized, dial(t, b, packets.V5).TryConnect(lasting("c", false)).ReasonCode)
		_, ack := connectWith(t, b, as("ann", lasting("c", false)))
		require.True(t, ack.SessionPresent)
	})
}
