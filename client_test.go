package shoal_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/internal/mqtttest"
	"github.com/shoalmq/shoal/packets"
)

var errRefused = errors.New("no")

// dial returns a client of b that has not connected.
func dial(t testing.TB, b *shoal.Broker, v packets.Version) *mqtttest.Client {
	t.Helper()
	conn, err := b.Dial(t.Context())
	require.NoError(t, err)
	return mqtttest.New(t, conn, v)
}

// connect returns a v5 client of b with a clean start.
func connect(t testing.TB, b *shoal.Broker, id string) *mqtttest.Client {
	t.Helper()
	c, _ := connectWith(t, b, &packets.Connect{ClientID: id, CleanStart: true})
	return c
}

func connectWith(t testing.TB, b *shoal.Broker, p *packets.Connect) (*mqtttest.Client, *packets.ConnAck) {
	t.Helper()
	c := dial(t, b, packets.V5)
	return c, c.Connect(p)
}

// lasting is a CONNECT whose session lasts a day.
func lasting(id string, clean bool) *packets.Connect {
	return &packets.Connect{ClientID: id, CleanStart: clean, Properties: packets.Properties{SessionExpiryInterval: packets.Some(uint32(86400))}}
}
