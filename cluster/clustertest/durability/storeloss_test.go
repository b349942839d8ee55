package durability_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster/clustertest"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/mqtt"
	"github.com/shoalmq/shoal/packets"
)

// A store that loses its data gets back from the nodes what they have: what was acknowledged before, and what was acknowledged until the loss was noticed,
// outlives the loss of all nodes after that; and so again.
func TestStoreLosesItsData(t *testing.T) {
	for name, lose := range map[string]func(s *clustertest.SharedStorage){
		"emptied": func(s *clustertest.SharedStorage) { s.Empty() },
		"restarted with nothing": func(s *clustertest.SharedStorage) {
			s.Fail(errors.New("connection refused"))
			s.Empty()
			time.Sleep(2 * time.Second)
			s.Fail(nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			withStore(t, func(t *testing.T, c *clustertest.Cluster, s *clustertest.SharedStorage) {
				const clients = 6
				id := func(i int) string { return fmt.Sprint("s", i) }
				for i := range clients {
					sub := mqtt.Connect(t, c, i%3, id(i), mqtt.Clean, mqtt.Expiry(36000))
					sub.Subscribe(packets.QoS(1+i%2), "all")
					if i%2 == 0 {
						sub.Drop()
					} else {
						sub.Leave()
					}
				}
				require.NoError(t, c.Node(2).Broker().Ban(t.Context(), shoal.Ban{ClientID: "banned"}))
				want := []string{}
				for round := range 3 {
					time.Sleep(2 * time.Second) // the nodes serve, and have looked at the store once
					pub := mqtt.Connect(t, c, round, "pub", mqtt.Clean)
					require.False(t, pub.Post("r/kept", fmt.Sprint(round), 1, true).IsError())
					before := fmt.Sprint("before ", round)
					require.Equal(t, packets.Success, pub.Post("all", before, 2, false))
					lose(s)
					at := fmt.Sprint("at once ", round)
					require.Equal(t, packets.Success, pub.Post("all", at, 1, false))
					want = append(want, before, at)
					time.Sleep(5 * time.Second)
					restartAll(c)
					for node := range 3 {
						list, err := c.Node(node).Broker().Retained("r/#")
						require.NoError(t, err)
						require.Len(t, list, 1)
						require.Equal(t, fmt.Sprint(round), string(list[0].Payload))
						require.Len(t, c.Node(node).Broker().Bans(), 1)
					}
				}
				for i := range clients {
					sub := mqtt.Connect(t, c, (i+1)%3, id(i), mqtt.Expiry(36000))
					require.True(t, sub.Ack.SessionPresent, "client %d", i)
					for _, payload := range want {
						require.Equal(t, payload, string(sub.Receive().Payload), "client %d", i)
					}
					sub.Silent(time.Second)
				}
			})
		})
	}
}

// What a node writes to a store that fails now and then, and keeps its data, is not written again.
func TestFailuresAreNoLoss(t *testing.T) {
	log := new(lines)
	withStore(t, func(t *testing.T, c *clustertest.Cluster, s *clustertest.SharedStorage) {
		mqtt.Connect(t, c, 0, "x", mqtt.Clean, mqtt.Expiry(3600)).Subscribe(1, "t")
		time.Sleep(5 * time.Second)
		for range 5 {
			s.Hang()
			time.Sleep(7 * time.Second)
			s.Resume()
			time.Sleep(3 * time.Second)
			s.Fail(errors.New("connection refused"))
			time.Sleep(3 * time.Second)
			s.Fail(nil)
			time.Sleep(3 * time.Second)
		}
		require.NotContains(t, log.String(), "THE STORE HAS LOST DATA")
	}, clustertest.WithLogger(slog.New(slog.NewTextHandler(log, nil))))
}

// lines is what the nodes log.
type lines struct {
	mu  sync.Mutex
	buf strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}
