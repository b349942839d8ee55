package shoal_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/internal/mqtttest"
	"github.com/shoalmq/shoal/packets"
	"github.com/shoalmq/shoal/storage/memory"
)

// run is a store as one process has it. What is done with it after the process was killed changes nothing.
type run struct {
	shoal.Storage
	killed atomic.Bool
}

func (r *run) Commit(ctx context.Context, ops []shoal.Op) error {
	if r.killed.Load() {
		return shoal.ErrStorageClosed
	}
	return r.Storage.Commit(ctx, ops)
}

func (r *run) Close() error { return nil }

// kills runs fn with a function that starts a broker on one store, after the one before was killed, as far as the store can tell.
func kills(t *testing.T, fn func(t *testing.T, restart func() *shoal.Broker)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		var last *run
		fn(t, func() *shoal.Broker {
			if last != nil {
				last.killed.Store(true)
			}
			last = &run{Storage: store}
			return start(t, shoal.WithStorage(last))
		})
	})
}

func withWill(id string, expiry, delay uint32) *packets.Connect {
	return &packets.Connect{
		ClientID:   id,
		Properties: packets.Properties{SessionExpiryInterval: packets.Some(expiry)},
		Will: &packets.Will{TopicName: "w/" + id, Payload: []byte("will"), QoS: 1, Properties: packets.Properties{
			WillDelayInterval: packets.Some(delay), ContentType: packets.Some("text/plain"),
			UserProperties: []packets.UserProperty{{Key: "k", Value: "v"}},
		}},
	}
}

// A will survives the process: it is published after its delay [MQTT-3.1.2-8], once, unless its client has come back before [MQTT-3.1.3-9], or had taken its
// leave [MQTT-3.14.4-3].
func TestWillsOutliveTheProcess(t *testing.T) {
	for name, tc := range map[string]struct {
		expiry, delay uint32
		before        func(t *testing.T, c *mqtttest.Client) // the kill
		after         func(t *testing.T, b *shoal.Broker)    // the restart
		due           time.Duration                          // after the restart; negative for never
	}{
		"of a session that ends with its connection":            {},
		"of a session that ends with its connection, and delay": {delay: 60},
		"of a session that lasts":                               {expiry: 3600},
		"after its delay":                                       {expiry: 3600, delay: 60, due: 60 * time.Second},
		"when its session ends, before its delay":               {expiry: 30, delay: 60, due: 30 * time.Second},
		"after the rest of its delay": {
			expiry: 3600, delay: 60, due: 40 * time.Second,
			before: func(_ *testing.T, c *mqtttest.Client) { c.Close(); time.Sleep(20 * time.Second) },
		},
		"of a client that has taken its leave": {
			expiry: 3600, due: -1,
			before: func(_ *testing.T, c *mqtttest.Client) { c.Disconnect(); synctest.Wait() },
		},
		"of a client that has come back": {
			expiry: 3600, delay: 60, due: -1,
			after: func(t *testing.T, b *shoal.Broker) {
				time.Sleep(50 * time.Second)
				connectWith(t, b, &packets.Connect{ClientID: "c", Properties: packets.Properties{SessionExpiryInterval: packets.Some(uint32(3600))}})
			},
		},
		"of a client that has begun anew": {
			expiry: 3600, delay: 60, due: 50 * time.Second,
			after: func(t *testing.T, b *shoal.Broker) {
				time.Sleep(50 * time.Second)
				connect(t, b, "c")
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			kills(t, func(t *testing.T, restart func() *shoal.Broker) {
				b := restart()
				watch, _ := connectWith(t, b, lasting("watch", true))
				watch.Subscribe(1, "w/#")
				c, _ := connectWith(t, b, withWill("c", tc.expiry, tc.delay))
				synctest.Wait()
				if tc.before != nil {
					tc.before(t, c)
				}
				b = restart()
				began := time.Now()
				watch, _ = connectWith(t, b, lasting("watch", false))
				if tc.after != nil {
					tc.after(t, b)
				}
				if tc.due < 0 {
					watch.ExpectNothing(5 * time.Minute)
				} else {
					if early := tc.due - time.Since(began) - time.Second; early > 0 {
						watch.ExpectNothing(early)
					}
					p := watch.ExpectPublish("w/c", "will")
					require.Equal(t, "text/plain", p.Properties.ContentType.Value)
					require.Equal(t, []packets.UserProperty{{Key: "k", Value: "v"}}, p.Properties.UserProperties)
					require.InDelta(t, tc.due.Seconds(), time.Since(began).Seconds(), 1)
				}
				watch.ExpectQuiet()
				synctest.Wait()
				b = restart()
				watch, _ = connectWith(t, b, lasting("watch", false))
				time.Sleep(5 * time.Minute)
				watch.ExpectQuiet()
			})
		})
	}
}

// A will goes on waiting over any number of restarts, a graceful one included, and its delay is not begun anew.
func TestWillDelayGoesOnOverRestarts(t *testing.T) {
	kills(t, func(t *testing.T, restart func() *shoal.Broker) {
		b := restart()
		watch, _ := connectWith(t, b, lasting("watch", true))
		watch.Subscribe(1, "w/#")
		c, _ := connectWith(t, b, withWill("c", 3600, 60))
		c.Close()
		for range 5 {
			synctest.Wait()
			time.Sleep(10 * time.Second)
			b = restart()
		}
		began := time.Now()
		watch, _ = connectWith(t, b, lasting("watch", false))
		watch.ExpectNothing(9 * time.Second)
		watch.ExpectPublish("w/c", "will")
		require.InDelta(t, 10, time.Since(began).Seconds(), 1)
	})
}

// A will that cannot be kept by those who are to have it is published when the store works, once.
func TestWillWaitsForAFailingStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &gated{Store: memory.New()}
		b := start(t, shoal.WithStorage(store))
		watch, _ := connectWith(t, b, lasting("watch", true))
		watch.Subscribe(1, "w/#")
		live := connect(t, b, "live")
		live.Subscribe(1, "w/#")
		c, _ := connectWith(t, b, withWill("c", 0, 0))
		fails(t, b, store)
		c.Close()
		d, _ := connectWith(t, b, withWill("d", 0, 0))
		d.Close()
		watch.ExpectNothing(time.Minute)
		live.ExpectNothing(time.Minute)
		store.set(nil, nil)
		got := map[string]bool{}
		for range 2 {
			got[mqtttest.Expect[*packets.Publish](watch).TopicName] = true
			mqtttest.Expect[*packets.Publish](live)
		}
		require.Len(t, got, 2)
		watch.ExpectNothing(5 * time.Minute)
		live.ExpectQuiet()
	})
}

// killedAt is a store that is killed when something is to be removed from a Space.
type killedAt struct {
	*run
	space string
}

func (k *killedAt) Commit(ctx context.Context, ops []shoal.Op) error {
	for i := range ops {
		if ops[i].Space == k.space && ops[i].Value == nil {
			k.killed.Store(true)
			return errors.New("killed")
		}
	}
	return k.run.Commit(ctx, ops)
}

// A will is given before it is withdrawn: whatever has it published has it kept by those who are to have it first.
func TestWillIsWithdrawnOnceItIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		b := start(t, shoal.WithStorage(&killedAt{&run{Storage: store}, "wills"}))
		watch, _ := connectWith(t, b, lasting("watch", true))
		watch.Subscribe(1, "w/#")
		watch.Disconnect()
		c, _ := connectWith(t, b, withWill("c", 0, 0))
		c.Close()
		time.Sleep(time.Second)
		next := start(t, shoal.WithStorage(&run{Storage: store}))
		watch, _ = connectWith(t, next, lasting("watch", false))
		watch.ExpectPublish("w/c", "will")
		watch.ExpectPublish("w/c", "will") // since it was not known whether it had been
		watch.ExpectQuiet()
		synctest.Wait()
		var left int
		require.NoError(t, store.Scan(t.Context(), "wills", nil, func(_, _ []byte) error { left++; return nil }))
		require.Zero(t, left)
	})
}
