package shoal_test

import (
	"context"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/internal/mqtttest"
	"github.com/shoalmq/shoal/packets"
)

// limited starts a broker whose clients are limited, and a subscriber of everything in the program.
func limited(t *testing.T, l shoal.RateLimits, opts ...shoal.Option) (*shoal.Broker, func(n int)) {
	b := start(t, append([]shoal.Option{shoal.WithRateLimits(l)}, opts...)...)
	sub, err := b.Subscribe(t.Context(), []string{"#"}, shoal.SubscribeOptions{QoS: 2})
	require.NoError(t, err)
	next := 0
	return b, func(n int) { // so many have come up to now, in order
		t.Helper()
		synctest.Wait()
		for range n {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			m, err := sub.Next(ctx)
			cancel()
			require.NoError(t, err)
			require.Equal(t, strconv.Itoa(next), m.TopicName)
			next++
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, err := sub.Next(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded, "more than %d came", n)
	}
}

// flood sends n messages without waiting, whose topics are numbers from first.
func flood(cl *mqtttest.Client, qos packets.QoS, first, n, size int) {
	for i := first; i < first+n; i++ {
		p := &packets.Publish{TopicName: strconv.Itoa(i), QoS: qos, Payload: make([]byte, size)}
		if qos > 0 {
			p.PacketID = uint16(i + 1)
		}
		cl.Send(p)
	}
}

// TestRateWait holds that a client that is too fast is read from as fast as is allowed; nothing is lost, and nobody else waits.
func TestRateWait(t *testing.T) {
	for qos := range packets.QoS(3) {
		for _, v := range []packets.Version{packets.V5, packets.V311} {
			synctest.Test(t, func(t *testing.T) {
				b, came := limited(t, shoal.RateLimits{Client: shoal.RateLimit{MessagesPerSecond: 2, MessagesBurst: 5}})
				cl := dial(t, b, v)
				cl.Connect(&packets.Connect{ClientID: "c", CleanStart: true, KeepAlive: 2}) // which waiting does not use up
				flood(cl, qos, 0, 20, 10)
				came(5)
				time.Sleep(497 * time.Millisecond) // beside what looking for more has taken
				came(0)
				time.Sleep(2 * time.Millisecond)
				came(1)
				other := connect(t, b, "other")
				other.ExpectQuiet()
				for range 3 {
					time.Sleep(999 * time.Millisecond)
					came(2)
				}
				time.Sleep(time.Minute / 12)
				came(8)
				if qos > 0 {
					for i := range 20 {
						if qos == 1 {
							require.EqualValues(t, i+1, mqtttest.Expect[*packets.PubAck](cl).PacketID)
						} else {
							require.EqualValues(t, i+1, mqtttest.Expect[*packets.PubRec](cl).PacketID)
						}
					}
				}
				require.Zero(t, b.Metrics().Dropped[shoal.DropRateLimited])
			})
		}
	}
}

// TestRateWaitBytes holds the same for bytes, with packets larger than the burst.
func TestRateWaitBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, came := limited(t, shoal.RateLimits{Client: shoal.RateLimit{BytesPerSecond: 1000, BytesBurst: 2000}})
		cl := connect(t, b, "c")
		flood(cl, 0, 0, 3, 1000-7) // packets of 1,000 bytes
		came(2)
		time.Sleep(995 * time.Millisecond)
		came(0)
		time.Sleep(4 * time.Millisecond)
		came(1)
		time.Sleep(10 * time.Second)
		flood(cl, 0, 3, 1, 5000)
		time.Sleep(3 * time.Second)
		came(0)
		time.Sleep(time.Second)
		came(1)
	})
}

// TestRateWaitEnds holds that a client that waits can be taken over, banned, and left by the broker at once.
func TestRateWaitEnds(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, b *shoal.Broker) packets.ReasonCode{
		"taken over": func(t *testing.T, b *shoal.Broker) packets.ReasonCode {
			connect(t, b, "c")
			return packets.SessionTakenOver
		},
		"banned": func(t *testing.T, b *shoal.Broker) packets.ReasonCode {
			require.NoError(t, b.Ban(t.Context(), shoal.Ban{ClientID: "c"}))
			return packets.AdministrativeAction
		},
		"shut down": func(t *testing.T, b *shoal.Broker) packets.ReasonCode {
			go func() { _ = b.Shutdown(context.WithoutCancel(t.Context())) }()
			return packets.ServerShuttingDown
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, came := limited(t, shoal.RateLimits{Client: shoal.RateLimit{MessagesPerSecond: 0.001}})
				cl := connect(t, b, "c")
				flood(cl, 0, 0, 2, 0)
				came(1)
				began := time.Now()
				code := end(t, b)
				cl.ExpectDisconnect(code)
				require.Less(t, time.Since(began), 3*time.Second)
			})
		})
	}
}

// TestRateRefuse holds that what comes too fast is refused or, at QoS 0, dropped; that it costs nothing of what is allowed; and that who cannot be
// told waits.
func TestRateRefuse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, came := limited(t, shoal.RateLimits{Client: shoal.RateLimit{MessagesPerSecond: 1, MessagesBurst: 2, BytesPerSecond: 100, BytesBurst: 1000, Action: shoal.RateRefuse}})
		cl := connect(t, b, "c")
		require.Equal(t, packets.Success, cl.Publish(1, "0", ""))
		require.Equal(t, packets.Success, cl.Publish(2, "1", ""))
		for range 1100 { // more than the Receive Maximum
			require.Equal(t, packets.QuotaExceeded, cl.Publish(1, "x", ""))
			require.Equal(t, packets.QuotaExceeded, cl.Publish(2, "x", ""))
		}
		cl.Publish(0, "x", "")
		cl.Send(&packets.Publish{TopicName: "x", QoS: 1, PacketID: 99})
		require.Contains(t, mqtttest.Expect[*packets.PubAck](cl).Properties.ReasonString.Value, "more than 1 messages or 100 bytes a second")
		came(2)
		require.EqualValues(t, 2202, b.Metrics().Dropped[shoal.DropRateLimited])
		time.Sleep(time.Second)
		require.Equal(t, packets.Success, cl.Publish(1, "2", ""))
		time.Sleep(20 * time.Second)
		require.Equal(t, packets.Success, cl.Publish(1, "3", string(make([]byte, 5000)))) // larger than the burst, which is there
		time.Sleep(20 * time.Second)
		require.Equal(t, packets.QuotaExceeded, cl.Publish(1, "x", string(make([]byte, 100))))
		time.Sleep(40 * time.Second)
		require.Equal(t, packets.Success, cl.Publish(1, "4", string(make([]byte, 100))))
		came(3)

		old := dial(t, b, packets.V311)
		old.Connect(&packets.Connect{ClientID: "old", CleanStart: true})
		flood(old, 1, 5, 4, 0)
		came(2)
		time.Sleep(time.Second)
		came(1)
		time.Sleep(time.Second)
		came(1)
	})
}

// TestRateDisconnect holds that the connection ends with the code that says why.
func TestRateDisconnect(t *testing.T) {
	for qos := range packets.QoS(3) {
		for _, v := range []packets.Version{packets.V5, packets.V311} {
			synctest.Test(t, func(t *testing.T) {
				b, came := limited(t, shoal.RateLimits{Client: shoal.RateLimit{MessagesPerSecond: 1, MessagesBurst: 3, Action: shoal.RateDisconnect}})
				cl := dial(t, b, v)
				cl.Connect(&packets.Connect{ClientID: "c", CleanStart: true})
				for i := range 3 {
					cl.Publish(qos, strconv.Itoa(i), "")
				}
				cl.Send(&packets.Publish{TopicName: "x", QoS: qos, PacketID: uint16(qos) * 77})
				if d := cl.ExpectDisconnect(packets.MessageRateTooHigh); d != nil {
					require.Contains(t, d.Properties.ReasonString.Value, "more than 1 messages a second")
				}
				came(3)
			})
		}
	}
}

// TestRateOfListener holds that the clients of one listener share its rate, and those of others have their own.
func TestRateOfListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, other := listenAnywhere("l"), listenAnywhere("other")
		b := start(t, shoal.WithListener(l), shoal.WithListener(other), shoal.WithRateLimits(shoal.RateLimits{
			Listener: shoal.RateLimit{MessagesPerSecond: 1, Action: shoal.RateRefuse}, Listeners: map[string]shoal.RateLimit{"l": {MessagesPerSecond: 4, Action: shoal.RateRefuse}},
		}))
		at := func(l *anywhere, id string) *mqtttest.Client {
			cl := dialFrom(t, l, "192.0.2.1", packets.V5)
			cl.Connect(&packets.Connect{ClientID: id, CleanStart: true})
			return cl
		}
		clients := []*mqtttest.Client{at(l, "a"), at(l, "b")}
		for range 2 {
			for i := range 4 {
				require.Equal(t, packets.NoMatchingSubscribers, clients[i%2].Publish(1, "t", ""))
			}
			require.Equal(t, packets.QuotaExceeded, clients[0].Publish(1, "t", ""))
			require.Equal(t, packets.QuotaExceeded, clients[1].Publish(1, "t", ""))
			apart := at(other, "c")
			require.Equal(t, packets.NoMatchingSubscribers, apart.Publish(1, "t", ""))
			require.Equal(t, packets.QuotaExceeded, apart.Publish(1, "t", ""))
			inside := connect(t, b, "d")
			require.Equal(t, packets.NoMatchingSubscribers, inside.Publish(1, "t", ""))
			require.Equal(t, packets.QuotaExceeded, inside.Publish(1, "t", ""))
			time.Sleep(time.Second)
		}
	})
}
