package shoal_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/internal/mqtttest"
	"github.com/shoalmq/shoal/packets"
)

// getsOn has a client acknowledge what it is sent, one message after another with a pause between them, until it has so many.
func getsOn(sub *mqtttest.Client, n int, pause time.Duration) <-chan []string {
	got := make(chan []string, 1)
	sub.Manual, sub.Timeout = true, time.Minute
	go func() {
		var list []string
		for range n {
			p := mqtttest.Expect[*packets.Publish](sub)
			list = append(list, string(p.Payload))
			time.Sleep(pause)
			sub.Send(&packets.PubAck{PacketID: p.PacketID})
		}
		got <- list
	}()
	return got
}

// floods has publishers send n messages each, with at most a window of them unanswered, and returns how long the slowest and the quickest took.
func floods(t *testing.T, b *shoal.Broker, version packets.Version, publishers, n, window int) (quickest, slowest time.Duration) {
	took, all := make(chan time.Duration, publishers), make(chan struct{})
	for i := range publishers {
		pub := dial(t, b, version)
		pub.Connect(&packets.Connect{ProtocolVersion: version, ClientID: fmt.Sprint("pub", i), CleanStart: true})
		pub.Timeout = time.Minute
		go func() {
			<-all
			began := time.Now()
			for j := range n + window {
				if j >= window {
					mqtttest.Expect[*packets.PubAck](pub)
				}
				if j < n {
					pub.Send(&packets.Publish{TopicName: "t", QoS: 1, PacketID: uint16(j%60000) + 1, Payload: fmt.Appendf(nil, "%d/%d", i, j)})
				}
			}
			took <- time.Since(began)
		}()
	}
	close(all)
	quickest = time.Hour
	for range publishers {
		d := <-took
		quickest, slowest = min(quickest, d), max(slowest, d)
	}
	return quickest, slowest
}

// TestPublishersWaitForASubscriberThatGetsOn holds that messages of QoS 1 which are more than a subscriber can take are not lost as long as it gets on: their
// publishers become as fast as it is, all of them alike.
func TestPublishersWaitForASubscriberThatGetsOn(t *testing.T) {
	for _, version := range []packets.Version{packets.V311, packets.V5} {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const publishers, each, limit = 15, 300, 100
				b := start(t, shoal.WithLimits(shoal.Limits{QueuedMessages: limit, InFlight: 20}))
				sub := connect(t, b, "sub")
				sub.Subscribe(1, "t")
				got := getsOn(sub, publishers*each, time.Millisecond)
				quickest, slowest := floods(t, b, version, publishers, each, 5)
				require.GreaterOrEqual(t, slowest, (publishers*each-2*limit)*time.Millisecond)
				require.LessOrEqual(t, slowest, 2*publishers*each*time.Millisecond)
				require.GreaterOrEqual(t, quickest, slowest/2, "one publisher was preferred")
				require.Len(t, <-got, publishers*each)
				require.Zero(t, b.Metrics().Dropped[shoal.DropQueueFull])
				require.NotZero(t, b.Metrics().MessagesHeldBack)
				require.Zero(t, b.Metrics().HeldBack)
			})
		})
	}
}

// TestPoliciesOfAFullQueueThatIsEmptied holds that publishers wait for nobody if that is asked for, and which messages come.
func TestPoliciesOfAFullQueueThatIsEmptied(t *testing.T) {
	for policy, last := range map[shoal.QueuePolicy]string{shoal.QueueDropNewest: "0/9", shoal.QueueDropOldest: "0/49"} {
		synctest.Test(t, func(t *testing.T) {
			b := start(t, shoal.WithLimits(shoal.Limits{QueuedMessages: 10, InFlight: 1, WhenFull: policy}))
			sub := connect(t, b, "sub")
			sub.Subscribe(1, "t")
			got := getsOn(sub, 10, 10*time.Millisecond)
			_, slowest := floods(t, b, packets.V5, 1, 50, 50)
			require.LessOrEqual(t, slowest, time.Millisecond)
			list := <-got
			require.Equal(t, last, list[len(list)-1])
			require.EqualValues(t, 40, b.Metrics().Dropped[shoal.DropQueueFull])
		})
	}
}

// TestNobodyIsHeldBackForAStalledSubscriber holds that the publishers of what a subscriber with a full queue does not take wait no moment for it
// once it has stopped, and that its queue then grows no more.
func TestNobodyIsHeldBackForAStalledSubscriber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 100
		b := start(t, shoal.WithLimits(shoal.Limits{QueuedMessages: limit}))
		stalled, good := connect(t, b, "stalled"), connect(t, b, "good")
		stalled.Manual = true
		stalled.Subscribe(1, "t")
		good.Subscribe(1, "t")
		pub := connect(t, b, "pub")
		pub.Publish(1, "t", "first")
		good.ExpectPublish("t", "first")
		time.Sleep(2100 * time.Millisecond)
		began := time.Now()
		for range 5 * limit {
			require.Equal(t, packets.Success, pub.Publish(1, "t", "m"))
			good.ExpectPublish("t", "m")
			good.Quiesce() // its acknowledgement has arrived
		}
		require.LessOrEqual(t, time.Since(began), time.Millisecond)
		require.EqualValues(t, 4*limit+1, b.Metrics().Dropped[shoal.DropQueueFull])
	})
}

// TestSubscriberThatIsFarTooSlowHoldsNobodyBackForLong holds that no answer waits more than two seconds for a subscriber that takes one message in half a
// second, and that its queue stays within twice its limits.
func TestSubscriberThatIsFarTooSlowHoldsNobodyBackForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, shoal.WithLimits(shoal.Limits{QueuedMessages: 10, QueuedBytes: 10_000, InFlight: 1}))
		sub := connect(t, b, "sub")
		sub.Subscribe(1, "t")
		var over atomic.Bool
		sub.Manual, sub.Timeout = true, time.Minute
		go func() {
			for !over.Load() {
				p := mqtttest.Expect[*packets.Publish](sub)
				time.Sleep(500 * time.Millisecond)
				sub.Send(&packets.PubAck{PacketID: p.PacketID})
			}
		}()
		pub := connect(t, b, "pub")
		for range 100 {
			began := time.Now()
			pub.Publish(1, "t", "m")
			require.LessOrEqual(t, time.Since(began), 2*time.Second+time.Millisecond)
			require.LessOrEqual(t, b.Metrics().QueuedBytes, int64(20_000))
		}
		over.Store(true)
		time.Sleep(time.Second)
	})
}

// TestClientsThatFloodEachOtherGetOn holds that two clients, each with a full queue that the other fills and held back for the other's sake, do
// not wait for each other for ever: their acknowledgements are read meanwhile.
func TestClientsThatFloodEachOtherGetOn(t *testing.T) {
	for _, version := range []packets.Version{packets.V311, packets.V5} {
		synctest.Test(t, func(t *testing.T) {
			const n = 2000
			b := start(t, shoal.WithLimits(shoal.Limits{QueuedMessages: 100, InFlight: 50, ReceiveMaximum: 20}))
			done := make(chan struct{}, 2)
			ready := make(chan struct{}, 2)
			for i := range 2 {
				c := dial(t, b, version)
				c.Manual, c.Timeout = true, time.Minute
				c.Connect(&packets.Connect{ProtocolVersion: version, ClientID: fmt.Sprint("c", i), CleanStart: true})
				c.Subscribe(1, fmt.Sprint("to/", i))
				ready <- struct{}{}
				go func() {
					for len(ready) < 2 {
						time.Sleep(time.Millisecond)
					}
					sent, answered, got := 0, 0, 0
					for answered < n || got < n {
						for ; sent < n && sent-answered < 20; sent++ {
							c.Send(&packets.Publish{TopicName: fmt.Sprint("to/", 1-i), QoS: 1, PacketID: uint16(sent%60000) + 1})
						}
						switch p := c.Next().(type) {
						case *packets.PubAck:
							answered++
						case *packets.Publish:
							got++
							time.Sleep(time.Millisecond)
							c.Send(&packets.PubAck{PacketID: p.PacketID})
						}
					}
					done <- struct{}{}
				}()
			}
			<-done
			<-done
			require.Zero(t, b.Metrics().Dropped[shoal.DropQueueFull])
		})
	}
}

// TestProgramIsWaitedFor holds that publishers are held back for a subscription of the program's, too, and not when it has stopped.
func TestProgramIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t)
		sub, err := b.Subscribe(t.Context(), []string{"t"}, shoal.SubscribeOptions{QoS: 1, Buffer: 50})
		require.NoError(t, err)
		got := make(chan int)
		go func() {
			for i := range 1000 {
				_, err := sub.Next(t.Context())
				if err != nil {
					got <- i
					return
				}
				time.Sleep(time.Millisecond)
			}
			got <- 1000
		}()
		floods(t, b, packets.V5, 10, 100, 3)
		require.Zero(t, b.Metrics().Dropped[shoal.DropQueueFull])
		require.Equal(t, 1000, <-got)
		time.Sleep(3 * time.Second) // and now nobody calls Next
		_, slowest := floods(t, b, packets.V5, 1, 60, 1)
		require.LessOrEqual(t, slowest, 2100*time.Millisecond)
		time.Sleep(2 * time.Second)
		_, slowest = floods(t, b, packets.V5, 1, 60, 1)
		require.LessOrEqual(t, slowest, time.Millisecond)
		require.NotZero(t, b.Metrics().Dropped[shoal.DropQueueFull])
	})
}
