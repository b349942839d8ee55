package peer

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/cluster/clustertest/memnet"
	"github.com/shoalmq/shoal/cluster/internal/level"
)

// Two nodes whose levels overlap understand each other, whichever of them is newer; those whose levels do not are told so.
func TestLevels(t *testing.T) {
	for _, tc := range []struct {
		a, b    level.Range
		cluster int
		fit     bool
	}{
		{level.Range{Oldest: 1, Newest: 2}, level.Range{Oldest: 1, Newest: 1}, 1, true},
		{level.Range{Oldest: 1, Newest: 1}, level.Range{Oldest: 1, Newest: 2}, 1, true},
		{level.Range{Oldest: 1, Newest: 2}, level.Range{Oldest: 2, Newest: 3}, 2, true},
		{level.Range{Oldest: 2, Newest: 3}, level.Range{Oldest: 1, Newest: 1}, 2, false},
		{level.Range{Oldest: 1, Newest: 1}, level.Range{Oldest: 2, Newest: 3}, 2, false},
	} {
		t.Run(tc.a.String()+" and "+tc.b.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				net := memnet.New(1)
				begin := func(name string, boot uint64, levels level.Range) (*Mesh, *sink) {
					h := net.Host(name)
					l, err := h.Listen(":9946")
					require.NoError(t, err)
					s := &sink{}
					m := New(Config{
						Self: name, Boot: boot, Listener: l, Dial: h.Dial, Handler: s, Logger: slog.New(slog.DiscardHandler),
						Levels: levels, Level: func() int { return tc.cluster },
					})
					m.Start()
					return m, s
				}
				a, _ := begin("a", 1, tc.a)
				b, sb := begin("b", 2, tc.b)
				defer a.Close()
				defer b.Close()
				a.SetAddress("b", "b:9946")
				a.NodeUp("b")
				done := make(chan error, 1)
				require.True(t, a.Forward("b", []byte("x"), func(err error) { done <- err }))
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				_, err := a.Call(ctx, "b", []byte("y"))
				if tc.fit {
					require.NoError(t, err)
					require.NoError(t, <-done)
					return
				}
				require.ErrorContains(t, err, "speaks levels "+tc.b.String())
				time.Sleep(time.Minute)
				require.Empty(t, sb.got)
			})
		})
	}
}
