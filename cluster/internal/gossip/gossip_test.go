package gossip

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster/clustertest/memnet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A node that leaves may be about to announce something. Nobody is to hear of that any more, and it does not wait for it.
func TestAnnounceWhileLeaving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := memnet.New(1)
		begin := func(name string, join ...string) (g *Gossip, stop func(), live chan int) {
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			live = make(chan int, 100)
			g = New(Config{Network: net.Host(name), Port: 7946, Join: join, Logger: slog.New(slog.DiscardHandler), Rivalled: func(bool) {}})
			go func() {
				ended <- g.Run(ctx, shoal.Node{Name: name, Incarnation: 1}, func(nodes []shoal.Node) { live <- len(nodes) })
			}()
			return g, func() { cancel(); require.NoError(t, <-ended) }, live
		}
		a, stopA, live := begin("a", "b:7946")
		_, stopB, _ := begin("b")
		for <-live < 2 {
		}
		stopA()
		done := make(chan struct{})
		go func() {
			a.Announce(shoal.Node{Name: "a", Incarnation: 2})
			close(done)
		}()
		<-done
		stopB()
		time.Sleep(time.Minute) // memberlist does not wait for a probe that is under way
	})
}
