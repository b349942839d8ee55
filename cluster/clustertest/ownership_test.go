package clustertest_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/cluster/clustertest"
	"github.com/shoalmq/shoal/packets"
)

// Guarantees 3 and 4: a client that connects anew ten times a second, each time to another node and without a word to the one before, never has
// two connections that live, and loses nothing of its queue.
func TestTenConnectionsASecond(t *testing.T) {
	in(t, func(t *testing.T, c *clustertest.Cluster) {
		pub := connect(t, c, 0, "pub", clean)
		sub := connect(t, c, 0, "x", expiry(600))
		sub.subscribe(2, "t/#")
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
					require.Equal(t, packets.Success, pub.post(fmt.Sprint("t/", qos), fmt.Sprintf("%06d", round), qos, false))
				}
			}
			if round%4 > 1 {
				take(sub.receive())
			}
			old := sub
			sub = connect(t, c, (round+1)%3, "x", expiry(600))
			require.True(t, sub.ack.SessionPresent, "round %d", round)
			b, err := packets.Append(nil, &packets.PingReq{}, packets.V5)
			require.NoError(t, err)
			_, _ = old.conn.Write(b)
			for {
				p, err := old.read(time.Second)
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
			take(sub.receive())
		}
		sub.silent(time.Second)
	})
}

// Guarantee 5: the delay of a will runs from when its client went away, also when its node is lost meanwhile; and a client that comes back anywhere in
// time keeps it from being published, for good.
func TestWillDelayOverLoss(t *testing.T) {
	in(t, func(t *testing.T, c *clustertest.Cluster) {
		watch := connect(t, c, 0, "watch", clean)
		watch.subscribe(1, "will/#")
		const delay = 20
		time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(1900 * time.Millisecond))) // what is kept counts whole seconds
		connect(t, c, 2, "gone", expiry(600), will("will/gone", "1", 1, delay)).drop()
		back := connect(t, c, 2, "back", expiry(600), will("will/back", "2", 1, delay))
		back.drop()
		went := time.Now()
		time.Sleep(8 * time.Second)
		c.Kill(2)
		time.Sleep(4 * time.Second)
		connect(t, c, 1, "back", expiry(600)).leave()
		require.Equal(t, "will/gone", watch.receive().TopicName)
		require.GreaterOrEqual(t, time.Since(went).Seconds(), float64(delay))
		require.Less(t, time.Since(went).Seconds(), float64(delay+2))
		watch.silent(time.Minute)
	})
}

// Guarantee 5: a will that its node has published, and is lost before it could say so, is not published again by the node that inherits it, as far as
// anybody has had it.
func TestWillOnceOverLoss(t *testing.T) {
	for _, qos := range []packets.QoS{1, 2} {
		t.Run(fmt.Sprint("QoS ", qos), func(t *testing.T) {
			in(t, func(t *testing.T, c *clustertest.Cluster) {
				r := rolesOf(t, c)
				guest, lasting := connect(t, c, r.other, "guest", clean), connect(t, c, r.leader, "lasting", expiry(600))
				guest.subscribe(2, "will")
				lasting.subscribe(2, "will")
				late := connect(t, c, r.publisher, "late", expiry(600)) // its node has not told anybody that it has the will
				late.subscribe(1, "will")
				late.leave()
				breaks := connect(t, c, r.publisher, "breaks", clean, will("will", "once", qos, 0))
				delay(c, r.publisher, r.other, r.leader)
				breaks.drop()
				for _, s := range []*client{guest, lasting} {
					require.Equal(t, "once", string(s.receive().Payload))
				}
				c.Kill(r.publisher)
				guest.silent(10 * time.Second)
				lasting.silent(time.Second)
				once(connect(t, c, r.other, "late", expiry(600)))
			})
		})
	}
}
