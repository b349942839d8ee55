package shoal_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/packets"
)

// Every message comes with the QoS of the subscription, if that is asked for, live, retained and from a queue; and with the lower one otherwise [MQTT-3.8.4-8].
func TestOutgoingQoSIsTheSubscriptions(t *testing.T) {
	for _, upgrade := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var opts []shoal.Option
			if upgrade {
				opts = append(opts, shoal.WithQoSOfSubscription())
			}
			b := start(t, opts...)
			want := packets.QoS(0)
			if upgrade {
				want = 1
			}
			pub := connect(t, b, "pub")
			pub.PublishWith(&packets.Publish{TopicName: "t", Retain: true, Payload: []byte("retained")})
			pub.Quiesce()
			sub, _ := connectWith(t, b, lasting("sub", true))
			sub.Subscribe(1, "t")
			require.Equal(t, want, sub.ExpectPublish("t", "retained").QoS)
			pub.Publish(0, "t", "live")
			require.Equal(t, want, sub.ExpectPublish("t", "live").QoS)
			sub.Disconnect()
			pub.Publish(0, "t", "queued")
			pub.Quiesce()
			sub, _ = connectWith(t, b, lasting("sub", false))
			if upgrade {
				require.Equal(t, want, sub.ExpectPublish("t", "queued").QoS)
			}
			sub.ExpectQuiet()
		})
	}
}

// A client that connects again has its will published [MQTT-3.1.4-3], or not, if the broker is told so; one whose connection breaks has it published in any case.
func TestWillOfAConnectionThatIsTakenOver(t *testing.T) {
	for _, without := range []bool{false, true} {
		for _, clean := range []bool{false, true} {
			t.Run(fmt.Sprint(without, clean), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var opts []shoal.Option
					if without {
						opts = append(opts, shoal.WithoutWillOnTakeover())
					}
					b := start(t, opts...)
					sub := connect(t, b, "sub")
					sub.Subscribe(1, "w")
					p := lasting("ill", clean)
					p.Will = &packets.Will{TopicName: "w", Payload: []byte("gone")}
					first, _ := connectWith(t, b, p)
					second, _ := connectWith(t, b, p)
					first.ExpectDisconnect(packets.SessionTakenOver)
					if !without {
						sub.ExpectPublish("w", "gone")
					}
					sub.ExpectQuiet()
					second.Close()
					sub.ExpectPublish("w", "gone")
				})
			})
		}
	}
}

// revocable is an Authorizer that lets whoever it was told to publish no more.
type revocable struct {
	whoeverTheySay
	revoked atomic.Pointer[string]
}

func (r *revocable) Authorize(_ context.Context, a *shoal.AccessRequest) error {
	if who := r.revoked.Load(); who != nil && *who == a.Principal.Name && a.Action == shoal.ActionPublish {
		return errors.New("not any more")
	}
	return nil
}

// A retained message of a publisher that may not publish it any more is not sent, if that is to be asked; one of whom nobody knows who it was is.
func TestRetainedMessagesNeedTheirPublishersRights(t *testing.T) {
	for _, asked := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			auth := new(revocable)
			opts := []shoal.Option{shoal.WithAuthenticator(auth)}
			if asked {
				opts = append(opts, shoal.WithRetainedRights())
			}
			b := startWith(t, opts...)
			for _, user := range []string{"good", "bad"} {
				pub, _ := connectWith(t, b, as(user, user))
				pub.PublishWith(&packets.Publish{TopicName: user, QoS: 1, Retain: true, Payload: []byte("m")})
				pub.Disconnect()
			}
			gone := as("bad", "gone")
			gone.Properties.SessionExpiryInterval = packets.Optional[uint32]{}
			pub, _ := connectWith(t, b, gone)
			pub.PublishWith(&packets.Publish{TopicName: "unknown", QoS: 1, Retain: true, Payload: []byte("m")})
			pub.Disconnect()
			synctest.Wait()
			bad := "bad"
			auth.revoked.Store(&bad)
			b.InvalidateAuthorization()
			sub, _ := connectWith(t, b, as("sub", "sub"))
			sub.Subscribe(1, "#")
			var topics []string
			for _, p := range taken(sub) {
				topics = append(topics, p.TopicName)
			}
			want := []string{"good", "unknown"}
			if !asked {
				want = append(want, "bad")
			}
			require.ElementsMatch(t, want, topics)
			require.Equal(t, asked, b.Metrics().Dropped[shoal.DropNotAuthorized] == 1)
		})
	}
}

// What is in flight is bounded in bytes; one message may be on its way whatever its size.
func TestInFlightIsBoundedInBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, shoal.WithLimits(shoal.Limits{InFlightBytes: 5000}))
		sub, _ := connectWith(t, b, lasting("sub", true))
		sub.Manual = true
		sub.Subscribe(1, "t")
		pub := connect(t, b, "pub")
		for range 10 {
			pub.Publish(1, "t", strings.Repeat("x", 1000))
		}
		pub.Publish(1, "t", strings.Repeat("y", 20_000))
		var last *packets.Publish
		for range 4 {
			last, _ = sub.Expect(packets.TypePublish).(*packets.Publish)
		}
		sub.ExpectQuiet()
		sub.Send(&packets.PubAck{PacketID: last.PacketID})
		sub.Expect(packets.TypePublish)
		sub.ExpectQuiet()
		sub.Manual = false
		sub.Disconnect()
		sub, _ = connectWith(t, b, lasting("sub", false))
		var got []*packets.Publish
		for len(got) < 10 {
			got = append(got, sub.Expect(packets.TypePublish).(*packets.Publish)) //nolint:forcetypeassert // it is one
		}
		sub.ExpectQuiet()
		require.Len(t, got[9].Payload, 20_000)
	})
}

// Assigned Client Identifiers begin as the program says.
func TestAssignedClientIdentifiersHaveAPrefix(t *testing.T) {
	for prefix, opts := range map[string][]shoal.Option{
		"auto-": nil, "device/": {shoal.WithAssignedClientIDPrefix("device/")}, "": {shoal.WithAssignedClientIDPrefix("")},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := start(t, opts...)
			_, ack := connectWith(t, b, &packets.Connect{ProtocolVersion: packets.V5, CleanStart: true})
			id := ack.Properties.AssignedClientIdentifier.Value
			require.True(t, strings.HasPrefix(id, prefix), id)
			require.Len(t, id, len(prefix)+16)
		})
	}
	_, err := shoal.New(shoal.WithAnonymous(), shoal.WithAssignedClientIDPrefix("a\x00"))
	require.ErrorContains(t, err, "WithAssignedClientIDPrefix")
}

// Clients of older versions than the broker takes are told so [MQTT-3.1.2-2]; section 3.2.2.3 of 3.1.1 has the code 1 for it.
func TestOlderVersionsAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, shoal.WithCapabilities(shoal.Capabilities{MinimumVersion: packets.V311}))
		for v, code := range map[packets.Version]packets.ReasonCode{
			packets.V31: packets.UnsupportedProtocolVersion, packets.V311: packets.Success, packets.V5: packets.Success,
		} {
			p := &packets.Connect{ProtocolVersion: v, ClientID: "c", CleanStart: true}
			require.Equal(t, code, dial(t, b, v).TryConnect(p).ReasonCode, v)
		}
	})
	_, err := shoal.New(shoal.WithAnonymous(), shoal.WithCapabilities(shoal.Capabilities{MinimumVersion: 6}))
	require.ErrorContains(t, err, "MinimumVersion is 6")
}
