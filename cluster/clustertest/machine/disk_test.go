package machine_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/cluster"
	"github.com/shoalmq/shoal/cluster/clustertest"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/bubble"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/mqtt"
	"github.com/shoalmq/shoal/packets"
)

// leaderSeenBy returns the number of the node that leads, as another one, or it itself, sees it.
func leaderSeenBy(t *testing.T, c *clustertest.Cluster, seenBy int) int {
	t.Helper()
	for range 100 {
		name := c.Node(seenBy).Status().Leader
		for i := range c.Nodes() {
			if c.Node(i).Name == name {
				return i
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	require.Fail(t, "nobody leads")
	return 0
}

// A node whose disk is full is as good as lost: nothing is acknowledged that only it would have, its clients find their sessions on other nodes, another
// node leads, and when there is room again it is back without anybody's help, with everything.
func TestFullDisk(t *testing.T) {
	for name, leads := range map[string]bool{"leader": true, "follower": false} {
		t.Run(name, func(t *testing.T) {
			bubble.In(t, func(t *testing.T, c *clustertest.Cluster) {
				full := leaderSeenBy(t, c, 0)
				if !leads {
					full = (full + 1) % 3
				}
				first, second := (full+1)%3, (full+2)%3
				sub := mqtt.Connect(t, c, full, "sub", mqtt.Expiry(600))
				sub.Subscribe(1, "t")
				pub := mqtt.Connect(t, c, first, "pub", mqtt.Clean)
				all := mqtt.Numbered(40)
				post := func(from, to int) {
					for _, p := range all[from:to] {
						require.Equal(t, packets.Success, pub.Post("t", p, 1, false))
					}
				}
				post(0, 10)
				c.FullDisk(full, true)
				post(10, 20)
				sub.Closed()
				require.NotEqual(t, full, leaderSeenBy(t, c, first))
				require.False(t, c.Node(full).Status().Serving)
				time.Sleep(time.Minute)
				require.False(t, c.Node(full).Status().Serving)
				mqtt.Connect(t, c, second, "sub", mqtt.Expiry(600)).Drop()
				began := time.Now()
				mqtt.Connect(t, c, first, "other", mqtt.Clean).Subscribe(1, "t")
				require.Less(t, time.Since(began), time.Second, "nobody waits for a node that is given up")
				post(20, 30)
				c.FullDisk(full, false)
				c.AwaitServing(full)
				require.Less(t, time.Since(began), 5*time.Second)
				// What the others acknowledge now, one of them and the node that was full must have.
				c.Kill(second)
				post(30, 40)
				for _, i := range []int{full, first} {
					c.Kill(i)
				}
				for _, i := range []int{full, second} { // one of the two that acknowledged
					c.StartAgain(i)
				}
				c.AwaitServing(full)
				sub = mqtt.Connect(t, c, full, "sub", mqtt.Expiry(600))
				require.True(t, sub.Ack.SessionPresent)
				got := make(map[string]bool)
				for len(got) < len(all) {
					got[string(sub.Receive().Payload)] = true
				}
			}, clustertest.WithDisk())
		})
	}
}

// Where too few disks have room, nothing is acknowledged; and nothing that was is lost when there is room again, also if a node was killed while it wrote.
func TestAllDisksFull(t *testing.T) {
	dirs := make(map[int]string)
	bubble.In(t, func(t *testing.T, c *clustertest.Cluster) {
		sub := mqtt.Connect(t, c, 0, "sub", mqtt.Expiry(600))
		sub.Subscribe(1, "t")
		sub.Leave()
		pub := mqtt.Connect(t, c, 1, "pub", mqtt.Expiry(600))
		require.Equal(t, packets.Success, pub.Post("t", "before", 1, false))
		for i := range 3 {
			c.FullDisk(i, true)
		}
		pub.Send(&packets.Publish{TopicName: "t", QoS: 1, PacketID: 77, Payload: []byte("while")})
		if p, err := pub.Read(30 * time.Second); err == nil {
			if ack, ok := p.(*packets.PubAck); ok {
				require.True(t, ack.ReasonCode.IsError(), "it was acknowledged, and is nowhere")
			}
		}
		for i := range 3 {
			require.False(t, c.Node(i).Status().Serving, i)
		}
		c.Kill(2)
		segments, err := filepath.Glob(filepath.Join(dirs[2], "log", "*.log"))
		require.NoError(t, err)
		require.NotEmpty(t, segments)
		c.StartAgain(2)
		c.Kill(2)
		f, err := os.OpenFile(segments[len(segments)-1], os.O_WRONLY|os.O_APPEND, 0)
		require.NoError(t, err)
		_, err = f.Write([]byte{0, 0, 1, 0, 1, 2, 3, 4, 1, 0})
		require.NoError(t, err)
		require.NoError(t, f.Close())
		c.StartAgain(2)
		time.Sleep(time.Minute)
		for i := range 3 {
			c.FullDisk(i, false)
		}
		for i := range 3 {
			c.AwaitServing(i)
		}
		pub = mqtt.Connect(t, c, 1, "pub", mqtt.Expiry(600))
		require.Equal(t, packets.Success, pub.Post("t", "after", 1, false))
		sub = mqtt.Connect(t, c, 2, "sub", mqtt.Expiry(600))
		require.True(t, sub.Ack.SessionPresent)
		require.Equal(t, "before", string(sub.Receive().Payload))
		p := sub.Receive()
		if string(p.Payload) == "while" { // it was on its way, and may arrive
			p = sub.Receive()
		}
		require.Equal(t, "after", string(p.Payload))
	}, clustertest.WithDisk(), clustertest.WithConfig(func(i int, c *cluster.Config) { dirs[i] = c.Dir }))
}

// A slow disk costs those who have to wait for it, and nobody else; one that does not answer is as good as none.
func TestSlowDisk(t *testing.T) {
	bubble.In(t, func(t *testing.T, c *clustertest.Cluster) {
		const slow = 300 * time.Millisecond
		leader := leaderSeenBy(t, c, 0)
		other, third := (leader+1)%3, (leader+2)%3
		mqtt.Connect(t, c, leader, "sub", mqtt.Expiry(600)).Subscribe(1, "t")
		pub := mqtt.Connect(t, c, leader, "pub", mqtt.Clean)
		took := func() time.Duration {
			began := time.Now()
			require.Equal(t, packets.Success, pub.Post("t", "m", 1, false))
			return time.Since(began)
		}
		c.SlowDisk(other, slow)
		for range 10 {
			require.Less(t, took(), slow, "a majority has it")
		}
		c.SlowDisk(third, slow)
		time.Sleep(10 * time.Second)
		require.GreaterOrEqual(t, took(), slow, "one of the two must have it")
		c.SlowDisk(other, 0)
		c.SlowDisk(third, 0)
		time.Sleep(10 * time.Second)
		c.SlowDisk(leader, slow)
		require.GreaterOrEqual(t, took(), slow)
		require.Equal(t, leader, leaderSeenBy(t, c, other))
		c.SlowDisk(leader, time.Hour)
		away := mqtt.Connect(t, c, other, "away", mqtt.Clean)
		began := time.Now()
		require.Equal(t, packets.Success, away.Post("t", "m", 1, false), fmt.Sprint(time.Since(began)))
		require.Less(t, time.Since(began), 15*time.Second)
		require.NotEqual(t, leader, leaderSeenBy(t, c, other))
	}, clustertest.WithDisk())
}

// A node that cannot keep its vote does not vote, and can be stopped and started meanwhile.
func TestFullDiskCastsNoVote(t *testing.T) {
	bubble.In(t, func(t *testing.T, c *clustertest.Cluster) {
		leader := leaderSeenBy(t, c, 0)
		full, third := (leader+1)%3, (leader+2)%3
		c.FullDisk(full, true)
		time.Sleep(10 * time.Second) // it has nothing to write and does not know
		c.Kill(leader)
		time.Sleep(10 * time.Second)
		require.Empty(t, c.Node(third).Status().Leader, "one vote of three")
		c.Stop(full)
		c.StartAgain(full)
		time.Sleep(10 * time.Second)
		require.Empty(t, c.Node(third).Status().Leader, "one vote of three")
		c.FullDisk(full, false)
		c.AwaitServing(full)
		c.AwaitServing(third)
		mqtt.Connect(t, c, full, "sub", mqtt.Clean).Subscribe(1, "t")
		require.Equal(t, packets.Success, mqtt.Connect(t, c, third, "pub", mqtt.Clean).Post("t", "m", 1, false))
	}, clustertest.WithDisk())
}

// A node whose disk does not answer is given up, once, whether it stands still at work or from its start on.
func TestStalledDisk(t *testing.T) {
	bubble.In(t, func(t *testing.T, c *clustertest.Cluster) {
		leader := leaderSeenBy(t, c, 0)
		stalled := (leader + 1) % 3
		gone := func() {
			t.Helper()
			for range 100 {
				require.Len(t, c.Node(leader).Status().Nodes, 2)
				time.Sleep(100 * time.Millisecond)
			}
		}
		c.SlowDisk(stalled, time.Hour)
		began := time.Now()
		mqtt.Connect(t, c, leader, "sub", mqtt.Clean).Subscribe(1, "t")
		require.Less(t, time.Since(began), 10*time.Second)
		require.False(t, c.Node(stalled).Status().Serving)
		gone()
		c.Kill(stalled)
		c.StartAgain(stalled)
		time.Sleep(10 * time.Second)
		gone()
		c.SlowDisk(stalled, 0)
		c.AwaitServing(stalled)
	}, clustertest.WithDisk())
}

// countingHandler counts lines of a log.
type countingHandler struct {
	slog.Handler
	text  string
	count *atomic.Int32
}

func (h countingHandler) Enabled(context.Context, slog.Level) bool { return true }
func (h countingHandler) WithAttrs([]slog.Attr) slog.Handler       { return h }
func (h countingHandler) WithGroup(string) slog.Handler            { return h }

func (h countingHandler) Handle(_ context.Context, r slog.Record) error {
	if r.Message == h.text {
		h.count.Add(1)
	}
	return nil
}

// A snapshot that finds no room is not tried again at once: what there is of it fills the disk each time.
func TestSnapshotThatFindsNoRoom(t *testing.T) {
	var count atomic.Int32
	bubble.In(t, func(t *testing.T, c *clustertest.Cluster) {
		c.FullDisk(1, true)
		pub := mqtt.Connect(t, c, 0, "pub", mqtt.Clean)
		for i := range 50 {
			require.False(t, pub.Post("t", fmt.Sprint(i), 1, true).IsError())
		}
		count.Store(0)
		time.Sleep(time.Minute)
		require.NotZero(t, count.Load())
		require.LessOrEqual(t, count.Load(), int32(7))
		c.FullDisk(1, false)
		c.AwaitServing(1)
	}, clustertest.WithDisk(), clustertest.WithConfig(func(_ int, c *cluster.Config) { c.SnapshotEntries = 1 }),
		clustertest.WithLogger(slog.New(countingHandler{text: "snapshot failed", count: &count})))
}
