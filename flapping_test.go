package shoal_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/packets"
)

// TestFlapping holds that a client that connects once too often within the window is banned for its time, and no other is.
func TestFlapping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := startWith(t, shoal.WithFlapping(shoal.Flapping{Connections: 3, Window: time.Minute, Ban: time.Hour}), shoal.WithAuthenticator(door{
			enter: func(c *shoal.Credentials) (*shoal.Principal, error) {
				if c.UserName == "wrong" {
					return nil, errRefused
				}
				return nil, nil
			},
		}))
		p := &packets.Connect{ClientID: "c", CleanStart: true}
		for _, v := range []packets.Version{packets.V5, packets.V311} {
			for range 5 { // nobody has others banned by guessing
				cl := dial(t, b, v)
				require.Equal(t, packets.NotAuthorized, cl.TryConnect(&packets.Connect{ClientID: "c", CleanStart: true, UserName: packets.Some("wrong")}).ReasonCode)
			}
			began := time.Now()
			for range 3 {
				dial(t, b, v).Connect(p) // also by taking itself over
			}
			time.Sleep(time.Minute) // a new window
			cl := dial(t, b, v)
			for range 3 {
				cl = dial(t, b, v)
				cl.Connect(p)
			}
			expectBanned(t, dial(t, b, v), p, "more than 3 times in 1m0s")
			cl.ExpectDisconnect(packets.AdministrativeAction)
			until := time.Now().Add(time.Hour)
			require.Len(t, b.Bans(), 1)
			require.True(t, b.Bans()[0].Until.Equal(until), "%v", time.Since(began))
			connect(t, b, "d").ExpectQuiet()
			time.Sleep(time.Hour - time.Second)
			expectBanned(t, dial(t, b, v), p, "until")
			time.Sleep(time.Second)
			last := dial(t, b, v)
			last.Connect(p)
			last.Disconnect()
			time.Sleep(time.Minute)
		}
	})
}
