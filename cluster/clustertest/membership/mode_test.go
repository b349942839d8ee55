package membership_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster/clustertest"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/bubble"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/mqtt"
	"github.com/shoalmq/shoal/packets"
)

// foreignStore is a store that the other nodes do not share. Nothing is to be asked of it.
type foreignStore struct{ shoal.FencedStorage }

func (foreignStore) Shared() bool { return true }

func (foreignStore) Close() error { return nil }

func (foreignStore) Commit(context.Context, []shoal.Op) error { return shoal.ErrStorageClosed }

// TestNodeThatKeepsSessionsElsewhereIsRefused holds that all nodes of a cluster keep sessions in the same place: one that was started with another does not
// serve, it and the leader say why, and the others go on.
func TestNodeThatKeepsSessionsElsewhereIsRefused(t *testing.T) {
	log := new(said)
	bubble.In(t, func(t *testing.T, c *clustertest.Cluster) {
		i := c.AddStopped()
		c.StartAgain(i)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		require.Error(t, c.Node(i).Broker().Ready(ctx))
		require.Equal(t, 1, log.count("this node cannot be one of its cluster"))
		require.NotZero(t, log.count("start it without WithStorage"))
		sub := mqtt.Connect(t, c, 0, "sub", mqtt.Clean)
		sub.Subscribe(1, "t")
		require.Equal(t, packets.Success, mqtt.Connect(t, c, 1, "pub", mqtt.Clean).Post("t", "m", 1, false))
		require.Equal(t, "m", string(sub.Receive().Payload))
	}, clustertest.WithBroker(func(i int) []shoal.Option {
		opts := []shoal.Option{shoal.WithAnonymous()}
		if i == 3 {
			opts = append(opts, shoal.WithStorage(foreignStore{}))
		}
		return opts
	}), clustertest.WithLogger(slog.New(slog.NewTextHandler(log, nil))))
}
