package clustertest_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster/clustertest"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/bubble"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/mqtt"
	"github.com/shoalmq/shoal/packets"
)

// Guarantee 7: the strategies choose among the members of the whole cluster.
func TestSharedStrategies(t *testing.T) {
	total := func(counts []int) (n int) {
		for _, c := range counts {
			n += c
		}
		return n
	}
	for strategy, check := range map[shoal.SharedStrategy]func(t *testing.T, counts []int){
		shoal.SharedLocalFirst: func(t *testing.T, counts []int) { require.Equal(t, []int{60, 0, 0}, counts) },
		shoal.SharedRoundRobin: func(t *testing.T, counts []int) { require.Equal(t, []int{20, 20, 20}, counts) },
		shoal.SharedRandom: func(t *testing.T, counts []int) {
			for _, n := range counts {
				require.Greater(t, n, 2)
			}
		},
		shoal.SharedSticky: func(t *testing.T, counts []int) { require.Equal(t, []int{60, 0, 0}, counts) },
		shoal.SharedByClient: func(t *testing.T, counts []int) {
			for _, n := range counts {
				require.Zero(t, n%60)
			}
		},
		shoal.SharedLeastLoaded: func(t *testing.T, counts []int) {
			for _, n := range counts {
				require.NotZero(t, n)
			}
		},
	} {
		t.Run(strategy.String(), func(t *testing.T) {
			bubble.In(t, func(t *testing.T, c *clustertest.Cluster) {
				var members []*mqtt.Client
				for i := range 3 {
					cl := mqtt.Connect(t, c, i, fmt.Sprint("worker", i), mqtt.Clean)
					cl.Subscribe(1, "$share/g/t")
					members = append(members, cl)
				}
				time.Sleep(time.Second) // that they are connected is told in the background
				pub := mqtt.Connect(t, c, 0, "pub", mqtt.Clean)
				for range 60 {
					require.Equal(t, packets.Success, pub.Post("t", "m", 1, false))
				}
				counts := make([]int, len(members))
				for i, cl := range members {
					counts[i] = cl.Count(100 * time.Millisecond)
				}
				require.Equal(t, 60, total(counts))
				check(t, counts)
			}, clustertest.WithBroker(func(int) []shoal.Option {
				return []shoal.Option{shoal.WithAnonymous(), shoal.WithSharedStrategy(strategy)}
			}))
		})
	}
}

// Guarantees 5 and 7: what is published for a shared group, while the node with all of its members is being lost, waits for the members that the heir
// adopts, also where the heir itself is asked for it.
func TestSharedSurvivesNodeLoss(t *testing.T) {
	bubble.Both(t, func(t *testing.T, c *clustertest.Cluster) {
		member := mqtt.Connect(t, c, 2, "member", mqtt.Expiry(600))
		member.Subscribe(1, "$share/g/t")
		pubs := []*mqtt.Client{mqtt.Connect(t, c, 0, "p0", mqtt.Clean), mqtt.Connect(t, c, 1, "p1", mqtt.Clean)}
		c.Kill(2)
		want := make(map[string]bool)
		var mu sync.Mutex
		var wg sync.WaitGroup
		for i, pub := range pubs {
			wg.Go(func() {
				for n := range 60 { // beyond the moment at which the node is given up
					payload := fmt.Sprint(i, "/", n)
					pub.Send(&packets.Publish{TopicName: "t", QoS: 1, PacketID: uint16(n + 1), Payload: []byte(payload)})
					mu.Lock()
					want[payload] = true
					mu.Unlock()
					time.Sleep(50 * time.Millisecond)
				}
			})
		}
		wg.Wait()
		for _, pub := range pubs {
			for range 60 {
				require.Equal(t, packets.Success, mqtt.Expect[*packets.PubAck](pub).ReasonCode)
			}
		}
		member = mqtt.Connect(t, c, 0, "member", mqtt.Expiry(600))
		require.True(t, member.Ack.SessionPresent)
		for len(want) > 0 {
			delete(want, string(member.Receive().Payload))
		}
	})
}

// publishers publish to a shared group, on several nodes, at a pace, until end.
type publishers struct {
	pubs []*mqtt.Client
	wg   sync.WaitGroup
	stop chan struct{}
	sent []int
}

func startPublishers(t *testing.T, c *clustertest.Cluster, nodes ...int) *publishers {
	p := &publishers{stop: make(chan struct{}), sent: make([]int, len(nodes))}
	for i, node := range nodes {
		pub := mqtt.Connect(t, c, node, fmt.Sprint("pub", i), mqtt.Clean)
		p.pubs = append(p.pubs, pub)
		p.wg.Go(func() {
			for {
				select {
				case <-p.stop:
					return
				case <-time.After(30 * time.Millisecond):
				}
				p.sent[i]++
				pub.Send(&packets.Publish{TopicName: "t", QoS: 1, PacketID: uint16(p.sent[i]), Payload: fmt.Append(nil, i, "/", p.sent[i])})
			}
		})
	}
	return p
}

// end returns the payloads that were accepted.
func (p *publishers) end(t *testing.T) map[string]bool {
	close(p.stop)
	p.wg.Wait()
	accepted := make(map[string]bool)
	for i, pub := range p.pubs {
		for n := range p.sent[i] {
			ack := mqtt.Expect[*packets.PubAck](pub)
			if ack.ReasonCode == packets.Success {
				accepted[fmt.Sprint(i, "/", n+1)] = true
			}
		}
	}
	require.NotEmpty(t, accepted)
	return accepted
}

// Guarantees 4 and 7: what is published for a shared group while its only member is being moved goes with it, wherever it was published; and also if the
// move fails, because the new node is lost, at any moment.
func TestSharedWhileMemberMoves(t *testing.T) {
	for lostAfter := range 8 {
		after := time.Duration(lostAfter) * 190 * time.Millisecond
		name := fmt.Sprint("new node lost after ", after)
		if lostAfter == 0 {
			name = "moves"
		}
		t.Run(name, func(t *testing.T) {
			bubble.Both(t, func(t *testing.T, c *clustertest.Cluster) {
				r := bubble.RolesOf(t, c)
				from, to := r.Other, r.Publisher
				member := mqtt.Connect(t, c, from, "member", mqtt.Expiry(600))
				member.Subscribe(1, "$share/g/t")
				member.Leave()
				time.Sleep(200 * time.Millisecond)
				const way = 200 * time.Millisecond
				c.Network().SetDelay(c.Node(from).Name, c.Node(to).Name, way)
				p := startPublishers(t, c, from, r.Leader)
				again := mqtt.Dial(t, c, to)
				again.SendConnect("member", mqtt.Expiry(600))
				began := time.Now()
				if lostAfter == 0 {
					ack := mqtt.Expect[*packets.ConnAck](again)
					require.Equal(t, packets.Success, ack.ReasonCode, "%v", ack.Properties.ReasonString)
					require.True(t, ack.SessionPresent)
					require.Greater(t, time.Since(began), 5*way, "it has taken its time")
					time.Sleep(time.Second)
				} else {
					time.Sleep(after)
					c.Kill(to)
					time.Sleep(4 * time.Second)
				}
				want := p.end(t)
				if lostAfter > 0 {
					again = mqtt.Connect(t, c, r.Leader, "member", mqtt.Expiry(600))
					require.True(t, again.Ack.SessionPresent)
				}
				had := make(map[string]bool)
				for len(want) > 0 {
					m := again.Receive()
					require.True(t, m.Dup || !had[string(m.Payload)], "%s came twice", m.Payload)
					had[string(m.Payload)] = true
					delete(want, string(m.Payload))
				}
			})
		})
	}
}
