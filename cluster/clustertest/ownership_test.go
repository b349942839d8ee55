package clustertest_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/cluster/clustertest"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/bubble"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/mqtt"
	"github.com/shoalmq/shoal/packets"
)

// Guarantees 3 and 4: a client that connects anew ten times a second, each time to another node and without a word to the one before, never has
// two connections that live, and loses nothing of its queue.
func TestTenConnectionsASecond(t *testing.T) {
	bubble.In(t, func(t *testing.T, c *clustertest.Cluster) {
		pub := mqtt.Connect(t, c, 0, "pub", mqtt.Clean)
		sub := mqtt.Connect(t, c, 0, "x", mqtt.Expiry(600))
		sub.Subscribe(2, "t/#")
		const rounds = 100
		next := map[string]int{}
		take := func(m *packets.Publish) {
			t.Helper()
			want := fmt.Sprintf("%06d", next[m.TopicName])
			if m.QoS == 1 && m.Dup && string(m.Payload) < want {
				return // its acknowledgement was lost with its connection
			}
			require.Equal(t, want, string(m.Payload), "%s", m.TopicName)
			next[m.TopicName]++
		}
		for round := range rounds {
			began := time.Now()
			for qos := range packets.QoS(3) {
				if qos > 0 {
					require.Equal(t, packets.Success, pub.Post(fmt.Sprint("t/", qos), fmt.Sprintf("%06d", round), qos, false))
				}
			}
			if round%4 > 1 {
				take(sub.Receive())
			}
			old := sub
			sub = mqtt.Connect(t, c, (round+1)%3, "x", mqtt.Expiry(600))
			require.True(t, sub.Ack.SessionPresent, "round %d", round)
			b, err := packets.Append(nil, &packets.PingReq{}, packets.V5)
			require.NoError(t, err)
			_, _ = old.Conn.Write(b)
			for {
				p, err := old.Read(time.Second)
				if err != nil {
					require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "round %d: the connection before lives", round)
					break
				}
				_, answers := p.(*packets.PingResp)
				require.False(t, answers, "round %d: the connection before answers", round)
			}
			time.Sleep(100*time.Millisecond - time.Since(began))
		}
		for next["t/1"] < rounds || next["t/2"] < rounds {
			take(sub.Receive())
		}
		sub.Silent(time.Second)
	})
}

// Guarantee 5: the delay of a will runs from when its client went away, also when its node is lost meanwhile; and a client that comes back anywhere in
// time keeps it from being published, for good.
func TestWillDelayOverLoss(t *testing.T) {
	bubble.In(t, func(t *testing.T, c *clustertest.Cluster) {
		watch := mqtt.Connect(t, c, 0, "watch", mqtt.Clean)
		watch.Subscribe(1, "will/#")
		const delay = 20
		time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(1900 * time.Millisecond))) // what is kept counts whole seconds
		mqtt.Connect(t, c, 2, "gone", mqtt.Expiry(600), mqtt.Will("will/gone", "1", 1, delay)).Drop()
		back := mqtt.Connect(t, c, 2, "back", mqtt.Expiry(600), mqtt.Will("will/back", "2", 1, delay))
		back.Drop()
		went := time.Now()
		time.Sleep(8 * time.Second)
		c.Kill(2)
		time.Sleep(4 * time.Second)
		mqtt.Connect(t, c, 1, "back", mqtt.Expiry(600)).Leave()
		require.Equal(t, "will/gone", watch.Receive().TopicName)
		require.GreaterOrEqual(t, time.Since(went).Seconds(), float64(delay))
		require.Less(t, time.Since(went).Seconds(), float64(delay+2))
		watch.Silent(time.Minute)
	})
}

// Guarantee 5: a will that its node has published, and is lost before it could say so, is not published again by the node that inherits it, as far as
// anybody has had it.
func TestWillOnceOverLoss(t *testing.T) {
	for _, qos := range []packets.QoS{1, 2} {
		t.Run(fmt.Sprint("QoS ", qos), func(t *testing.T) {
			bubble.In(t, func(t *testing.T, c *clustertest.Cluster) {
				r := bubble.RolesOf(t, c)
				guest, lasting := mqtt.Connect(t, c, r.Other, "guest", mqtt.Clean), mqtt.Connect(t, c, r.Leader, "lasting", mqtt.Expiry(600))
				guest.Subscribe(2, "will")
				lasting.Subscribe(2, "will")
				late := mqtt.Connect(t, c, r.Publisher, "late", mqtt.Expiry(600)) // its node has not told anybody that it has the will
				late.Subscribe(1, "will")
				late.Leave()
				breaks := mqtt.Connect(t, c, r.Publisher, "breaks", mqtt.Clean, mqtt.Will("will", "once", qos, 0))
				bubble.Delay(c, r.Publisher, r.Other, r.Leader)
				breaks.Drop()
				for _, s := range []*mqtt.Client{guest, lasting} {
					require.Equal(t, "once", string(s.Receive().Payload))
				}
				c.Kill(r.Publisher)
				guest.Silent(10 * time.Second)
				lasting.Silent(time.Second)
				mqtt.Once(mqtt.Connect(t, c, r.Other, "late", mqtt.Expiry(600)))
			})
		})
	}
}
