package shoal_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/packets"
)

// stub is a Bridge made of a function.
type stub struct {
	name string
	run  func(ctx context.Context, h *shoal.BridgeHost) error
	host *shoal.BridgeHost
	bad  error
}

func (s *stub) Name() string                                       { return s.name }
func (s *stub) Bind(h *shoal.BridgeHost)                           { s.host = h }
func (s *stub) Run(ctx context.Context, h *shoal.BridgeHost) error { return s.run(ctx, h) }
func (s *stub) Validate() error                                    { return s.bad }
func (s *stub) Connected(e shoal.ConnectedEvent)                   { s.tell(e.Client.ClientID) }
func (s *stub) tell(id string) {
	s.host.PublishEvent(shoal.Message{TopicName: s.host.Topic("connected"), Payload: []byte(id)})
}

// collect is a Run that hands on what it gets.
func collect(got chan<- shoal.Message, filters ...string) func(ctx context.Context, h *shoal.BridgeHost) error {
	return func(ctx context.Context, h *shoal.BridgeHost) error {
		sub, err := h.Subscribe(ctx, shoal.BridgeSubscription{Filters: append(filters, h.Topic("connected")), QoS: 1})
		if err != nil {
			return err
		}
		for {
			m, err := sub.Next(ctx)
			if err != nil {
				return err
			}
			got <- m
			m.Acknowledge()
		}
	}
}

// states are what a BridgeObserver was told.
type states struct {
	mu   sync.Mutex
	seen []shoal.BridgeEvent
}

func (s *states) BridgeChanged(e shoal.BridgeEvent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, e)
}

func (s *states) take() (list []shoal.BridgeState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.seen {
		list = append(list, e.State)
	}
	s.seen = nil
	return list
}

// A bridge gets messages with their publishers and the events it publishes to itself, and not what it has published; what it publishes
// names it.
func TestBridge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := make(chan shoal.Message, 10)
		br := &stub{name: "b", run: collect(got, "t/#")}
		var seen states
		b := start(t, shoal.WithBridge(br), shoal.WithHook(&seen))
		synctest.Wait()
		require.Equal(t, []shoal.BridgeState{shoal.BridgeRunning, shoal.BridgeStandby, shoal.BridgeRunning}, seen.take())
		c := connect(t, b, "c")
		require.Equal(t, packets.Success, c.Publish(1, "t/1", "m"))
		first, second := <-got, <-got
		require.Equal(t, "$shoal/bridge/b/connected c", first.TopicName+" "+string(first.Payload))
		require.Equal(t, "t/1 m c", second.TopicName+" "+string(second.Payload)+" "+second.Publisher)

		own := subscribe(t, b, shoal.SubscribeOptions{QoS: 1}, "t/#")
		require.NoError(t, br.host.Publish(t.Context(), shoal.Message{TopicName: "t/2", Payload: []byte("from outside"), QoS: 1}))
		require.Equal(t, "$shoal/bridge/b", next(t, own).Publisher)
		synctest.Wait()
		require.Empty(t, got)
		st := b.Bridges()[0]
		require.Equal(t, "b", st.Name)
		require.Equal(t, shoal.BridgeRunning, st.State)
		require.EqualValues(t, 2, st.Delivered)
		require.EqualValues(t, 1, st.Published)
		require.Zero(t, st.Queued)

		require.NoError(t, b.Shutdown(t.Context()))
		require.Equal(t, []shoal.BridgeState{shoal.BridgeStopped}, seen.take())
	})
}

// A bridge that fails, returns early or panics begins again after a pause that grows, and its session keeps what comes meanwhile.
func TestBridgeBeginsAgain(t *testing.T) {
	for name, fail := range map[string]func() error{
		"error": func() error { return errors.New("away") },
		"panic": func() error { panic("away") },
		"early": func() error { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var began []time.Time
				var mu sync.Mutex
				var mended atomic.Bool
				got := make(chan shoal.Message, 1)
				br := &stub{name: "b", run: func(ctx context.Context, h *shoal.BridgeHost) error {
					if mended.Load() {
						return collect(got, "t")(ctx, h)
					}
					mu.Lock()
					began = append(began, time.Now())
					mu.Unlock()
					_, err := h.Subscribe(ctx, shoal.BridgeSubscription{Filters: []string{"t"}, QoS: 1})
					require.NoError(t, err)
					return fail()
				}}
				b := start(t, shoal.WithBridge(br))
				time.Sleep(100 * time.Millisecond)
				post(t, b, "t", "kept", 1)
				st := b.Bridges()[0]
				require.Equal(t, shoal.BridgeFailed, st.State)
				require.Error(t, st.Err)
				require.EqualValues(t, 1, st.Restarts)
				require.Equal(t, 1, st.Queued)
				time.Sleep(5 * time.Minute)
				mu.Lock()
				require.Greater(t, len(began), 10)
				for i := 1; i < len(began); i++ {
					require.LessOrEqual(t, began[i].Sub(began[i-1]), 30*time.Second)
					if i > 10 {
						require.GreaterOrEqual(t, began[i].Sub(began[i-1]), 15*time.Second)
					}
				}
				mu.Unlock()
				mended.Store(true)
				require.Equal(t, "kept", string((<-got).Payload))
			})
		})
	}
}

// A bridge that does not keep up fills its session's queue, which drops by the limits, with a reason.
func TestBridgeQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		br := &stub{name: "b", run: func(ctx context.Context, h *shoal.BridgeHost) error {
			if _, err := h.Subscribe(ctx, shoal.BridgeSubscription{Filters: []string{"t"}, QoS: 1, Buffer: 2}); err != nil {
				return err
			}
			<-ctx.Done()
			return nil
		}}
		b := start(t, shoal.WithBridge(br), shoal.WithLimits(shoal.Limits{QueuedMessages: 5, InFlight: 5}))
		synctest.Wait()
		post(t, b, "t", "m", 1)
		time.Sleep(3 * time.Second) // now it has stopped
		for range 7 {
			post(t, b, "t", "m", 1)
		}
		require.Equal(t, 5, b.Bridges()[0].Queued)
		require.EqualValues(t, 3, b.Metrics().Dropped[shoal.DropQueueFull])
	})
}

func TestBridgesAreChecked(t *testing.T) {
	_, err := shoal.New(shoal.WithAnonymous(), shoal.WithBridge(nil), shoal.WithBridge(&stub{name: "a b"}), shoal.WithBridge(&stub{name: "x"}),
		shoal.WithBridge(&stub{name: "x", bad: errors.New("brokers: empty")}))
	require.ErrorContains(t, err, "WithBridge: nil")
	require.ErrorContains(t, err, `contains ' '`)
	require.ErrorContains(t, err, `two bridges have the Name "x"`)
	require.ErrorContains(t, err, `WithBridge "x": brokers: empty`)
}
