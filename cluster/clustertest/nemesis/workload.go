package nemesis

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shoalmq/shoal/cluster/history"
	"github.com/shoalmq/shoal/packets"
)

// profile is what a client is like.
type profile struct {
	version        packets.Version
	clean          bool   // Clean Start, with a session that ends with its connection
	expiry         uint32 // Session Expiry Interval of a v5 client
	receiveMaximum uint16
	subs           []packets.Subscription
	topics         []topic // that it publishes to
	will           bool
	think          time.Duration // between two acts, about
	pause          time.Duration // before it connects again, about
	moves          float64       // how probable it is that an act ends the connection
	lazy           bool          // acknowledges late
	mute           bool          // acknowledges nothing of what it gets, until the end
	patience       time.Duration // with what is not acknowledged, after which it connects anew; 0: as long as the connection lives
	fickle         bool          // unsubscribes now and then
}

type topic struct {
	name   string
	qos    packets.QoS
	retain bool
}

// tamper stands between a client and its record of what it received, for tests of the tests: what it passes on, in its place, is recorded.
type tamper func(clientID string, p packets.Packet, record func(packets.Packet))

// workload is a population of clients.
type workload struct {
	rec    *history.Recorder
	target Target
	seed   uint64
	tamper tamper
	pace   float64 // a longer one is a quieter workload

	clients  []*client
	settling atomic.Bool  // nothing new is published and nobody moves any more
	arrived  atomic.Int64 // PUBLISH packets
	troubled atomic.Bool  // faults happen: what has not arrived may be lost with a connection whose end its client has not heard of
	wg       sync.WaitGroup
	stop     context.CancelFunc
	visitors context.CancelFunc
	herd     herd
}

func (w *workload) newClient(id string, like profile) *client {
	h := fnv.New64a()
	_, _ = h.Write([]byte(id))
	return &client{w: w, id: id, like: like, rng: rand.New(rand.NewPCG(w.seed, h.Sum64())), granted: make(map[string]bool)}
}

// populate makes the clients: who they are is the same for all seeds, what they do is not.
func (w *workload) populate() {
	const long = 3600
	sub := func(qos packets.QoS, filters ...string) (list []packets.Subscription) {
		for _, f := range filters {
			list = append(list, packets.Subscription{TopicFilter: f, QoS: qos})
		}
		return list
	}
	own := func(id string) (list []topic) {
		for q := range packets.QoS(3) {
			list = append(list, topic{name: fmt.Sprintf("p/%s/%d", id, q), qos: q})
		}
		list = append(list, topic{name: "p/" + id + "/2", qos: 2}, topic{name: "s/" + id, qos: 1}, topic{name: "s/" + id, qos: 2})
		return append(list, topic{"r/one", 1, true}, topic{"r/two", 2, true})
	}
	add := func(id string, like profile) {
		if like.think == 0 {
			like.think = 200 * time.Millisecond
		}
		like.think = time.Duration(float64(like.think) * w.pace)
		if like.pause == 0 {
			like.pause = 500 * time.Millisecond
		}
		w.clients = append(w.clients, w.newClient(id, like))
	}
	// Publishers. Two do not wait for long: they connect elsewhere and send again.
	for i, like := range []profile{
		{version: packets.V5, expiry: long, moves: 0.03, patience: 1500 * time.Millisecond},
		{version: packets.V311, moves: 0.02, patience: 3 * time.Second},
		{version: packets.V5, clean: true, moves: 0.02},
		{version: packets.V311, clean: true, moves: 0.01},
	} {
		id := fmt.Sprintf("pub%d", i)
		like.topics = own(id)
		add(id, like)
	}
	// Subscribers with sessions that last.
	add("steady", profile{version: packets.V5, expiry: long, subs: sub(2, "p/#", "w/#")})
	add("old", profile{version: packets.V311, subs: sub(1, "p/#"), moves: 0.05})
	add("overlap", profile{version: packets.V5, expiry: long, subs: append(sub(1, "p/+/2"), sub(2, "p/pub0/#", "p/pub1/#")...), moves: 0.05})
	add("lazy", profile{version: packets.V5, expiry: long, receiveMaximum: 5, subs: sub(2, "p/+/1", "p/+/2"), moves: 0.04, lazy: true})
	add("nervous", profile{version: packets.V5, expiry: long, subs: sub(2, "p/pub0/2", "p/pub2/1"), moves: 0.9, think: 100 * time.Millisecond, pause: 100 * time.Millisecond})
	add("fickle", profile{version: packets.V5, expiry: long, subs: sub(2, "p/pub1/#", "p/pub3/#"), moves: 0.02, fickle: true})
	add("away", profile{version: packets.V5, expiry: long, subs: sub(2, "p/pub0/#", "p/pub3/2"), moves: 0.5, pause: 8 * time.Second})
	// Those whose sessions end with their connections.
	add("guest", profile{version: packets.V5, clean: true, subs: sub(2, "p/#"), moves: 0.02})
	add("oldguest", profile{version: packets.V311, clean: true, subs: sub(1, "p/#"), moves: 0.02})
	// A shared group.
	add("member0", profile{version: packets.V5, expiry: long, subs: sub(1, "$share/g/s/#"), moves: 0.02})
	add("member1", profile{version: packets.V5, clean: true, subs: sub(1, "$share/g/s/#"), moves: 0.02})
	add("member2", profile{version: packets.V311, subs: sub(2, "$share/g/s/#"), moves: 0.02})
	add("mute", profile{version: packets.V5, clean: true, subs: sub(1, "$share/g/s/#"), moves: 0.1, pause: 2 * time.Second, mute: true})
	add("whole", profile{version: packets.V5, expiry: long, subs: sub(2, "s/#")})
	// Wills.
	add("will0", profile{version: packets.V5, expiry: long, will: true, moves: 0.2, think: 500 * time.Millisecond})
	add("will1", profile{version: packets.V311, clean: true, will: true, moves: 0.2, think: 500 * time.Millisecond})
	add("will2", profile{version: packets.V5, expiry: long, will: true, moves: 0.2, think: 500 * time.Millisecond, pause: 3 * time.Second})
}

// start begins the work. It returns when all clients have connected and subscribed.
func (w *workload) start(ctx context.Context) error {
	w.populate()
	ctx, w.stop = context.WithCancel(ctx)
	for _, c := range w.clients {
		w.wg.Go(func() { c.run(ctx) })
	}
	visits, cancel := context.WithCancel(ctx)
	w.visitors = cancel
	w.wg.Go(func() {
		rng := rand.New(rand.NewPCG(w.seed, 0x7669736974))
		for n := 1; visits.Err() == nil; n++ {
			w.visit(visits, n, rng.IntN(w.target.Nodes()))
			t := time.NewTimer(time.Second + time.Duration(rng.Int64N(int64(2*time.Second))))
			select {
			case <-t.C:
			case <-visits.Done():
			}
			t.Stop()
		}
	})
	return w.await(ctx, time.Minute, func() string { return w.missing(false) })
}

// missing says which client is not where it wants to be, "" if all are.
func (w *workload) missing(idle bool) string {
	for _, c := range w.clients {
		if why := c.missing(idle); why != "" {
			return c.id + " " + why
		}
	}
	return ""
}

func (c *client) missing(idle bool) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link == nil || idle && c.link.over() {
		return "is not connected"
	}
	for _, s := range c.like.subs {
		if !c.granted[s.TopicFilter] && (idle || !c.like.fickle) {
			return "has no SUBACK for " + s.TopicFilter
		}
	}
	if idle && len(c.inflight) > 0 {
		return fmt.Sprintf("has %d messages without an acknowledgement, the first is %q", len(c.inflight), nameOf(c.inflight[0].p))
	}
	if idle && len(c.link.late) > 0 {
		return "owes acknowledgements"
	}
	return ""
}

// await waits until condition says nothing, or returns what it says after a while.
func (w *workload) await(ctx context.Context, atMost time.Duration, condition func() string) error {
	began := time.Now()
	for {
		why := condition()
		if why == "" {
			return nil
		}
		if time.Since(began) > atMost || ctx.Err() != nil {
			return fmt.Errorf("after %s %s", time.Since(began).Round(time.Second), why)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// settle lets everything that was published arrive, with the cluster well again: an error says who waits in vain. Afterwards it marks all
// connections as drained.
func (w *workload) settle(ctx context.Context, patience, wills time.Duration) error {
	w.settling.Store(true)
	w.visitors()
	if err := w.await(ctx, patience, func() string { return w.missing(true) }); err != nil {
		return err
	}
	sleep(ctx, wills)
	if err := w.still(ctx, patience); err != nil {
		return err
	}
	w.rec.Quiet()
	for i := range w.target.Nodes() {
		w.visit(ctx, 1_000_000+i, i)
	}
	if err := w.still(ctx, patience); err != nil {
		return err
	}
	for _, c := range w.clients {
		c.mu.Lock()
		c.link.rec.Drained()
		c.mu.Unlock()
	}
	return nil
}

// still waits until nothing has arrived for a while.
func (w *workload) still(ctx context.Context, patience time.Duration) error {
	last, since := w.arrived.Load(), time.Now()
	return w.await(ctx, patience, func() string {
		if why := w.missing(true); why != "" {
			since = time.Now()
			return why
		}
		if now := w.arrived.Load(); now != last {
			last, since = now, time.Now()
		}
		if time.Since(since) < quietFor {
			return "messages still arrive"
		}
		return ""
	})
}

// quietFor is how long nothing may have arrived before everything is taken to have.
const quietFor = 4 * time.Second

// end stops all clients and waits for them.
func (w *workload) end() {
	w.stop()
	w.wg.Wait()
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func nameOf(p *packets.Publish) string {
	name, _ := history.ParsePayload(p.Payload)
	return name
}
