package shoal

import (
	"fmt"
	"runtime"
	"runtime/debug"
	rtmetrics "runtime/metrics"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	core "github.com/shoalmq/shoal/internal/session"
	"github.com/shoalmq/shoal/packets"
	"github.com/shoalmq/shoal/topics"
)

// The $SYS tree: what a broker tells of itself, under the names that mosquitto made customary and those of mochi and comqtt. Each value
// is a message of QoS 0 with RETAIN, sent to those who subscribe, and from then on whenever it has changed, each interval. They are made
// when somebody asks: they are neither stored nor sent to other nodes, so that each node of a cluster tells of itself. Clients cannot publish
// to them; the program can.

const (
	sysPrefix = "$SYS/"
	// sysDefault is the interval mosquitto has.
	sysDefault = 10 * time.Second
)

// isSys reports whether a TopicName is one of the broker's own.
func isSys(topic string) bool {
	return len(topic) > 4 && topic[0] == '$' && (strings.HasPrefix(topic, sysPrefix) || isOwn(topic))
}

// sysTree publishes the tree. Its goroutine is the only one that uses it, except for what is said to be otherwise.
type sysTree struct {
	b        *Broker
	interval time.Duration
	started  time.Time
	load     *sysLoads
	last     map[string]string // what was published
	watched  atomic.Int64      // subscriptions that may match; any goroutine changes it
	recent   recentValues
}

// recentValues are the values that new subscriptions get. They are made anew only when that takes little of the time: it takes the longer the more sessions
// there are, and as many may subscribe.
type recentValues struct {
	mu    sync.Mutex
	list  []sysValue
	until time.Time
}

// sysCostShare is the share of the time, one in so many, that the values may be in the making.
const sysCostShare = 100

// recentValues returns the values as they are, or were not long ago.
func (t *sysTree) recentValues(now time.Time) []sysValue {
	r := &t.recent
	r.mu.Lock()
	defer r.mu.Unlock()
	if began := time.Now(); began.After(r.until) {
		r.list = t.values(now)
		took := time.Since(began)
		r.until = began.Add(min(took*sysCostShare, t.interval))
	}
	return r.list
}

func newSysTree(b *Broker, interval time.Duration) *sysTree {
	if interval == 0 {
		interval = sysDefault
	}
	if interval < 0 {
		return nil
	}
	return &sysTree{b: b, interval: interval, load: new(sysLoads), last: make(map[string]string)}
}

// run publishes until the broker has drained.
func (t *sysTree) run() {
	tick := time.NewTicker(t.interval)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			t.load.update(t.b.Metrics(), t.interval)
			t.publish(now)
		case <-t.b.life.Done():
			return
		}
	}
}

// publish sends those subscribers that there are what has changed.
func (t *sysTree) publish(now time.Time) {
	if t.watched.Load() == 0 {
		clear(t.last) // whoever comes gets everything
		return
	}
	sc := t.b.scratch()
	defer sc.release()
	for _, v := range t.values(now) {
		if t.last[v.topic] == v.text {
			continue
		}
		t.last[v.topic] = v.text
		p := packets.Publish{TopicName: v.topic, Payload: []byte(v.text), Retain: true}
		sc.r.deliveryQoS = packets.Optional[packets.QoS]{}
		sc.r.begin(&p, "", nil, sc)
		t.b.routeHere(sc)
	}
}

// watch counts the subscriptions to the tree, so that nothing is made for nobody. t may be nil.
func (t *sysTree) watch(sub *subscription, n int64) {
	if t != nil && watchesSys(sub.match) {
		t.watched.Add(n)
	}
}

// watchesSys reports whether a filter can match the tree: no wildcard at the beginning matches a $ [MQTT-4.7.2-1].
func watchesSys(filter string) bool { return strings.HasPrefix(filter, sysPrefix) }

// routeHere routes a message of the broker's own to the sessions of this node, each shared group of which gets it.
func (b *Broker) routeHere(sc *scratch) {
	sc.matches = b.index.AppendMatches(sc.matches[:0], sc.r.p.TopicName)
	var groups []string
	for _, t := range sc.matches {
		if g, ok := t.(*group); ok {
			groups = append(groups, g.name)
		}
	}
	b.routeLocal(sc, groups)
}

// messages returns the tree as retained messages that match a filter. It may be called on any goroutine.
func (t *sysTree) messages(filter string, now time.Time) []*core.Message {
	if t == nil || !watchesSys(filter) {
		return nil
	}
	var found []*core.Message
	for _, v := range t.recentValues(now) {
		if topics.Match(filter, v.topic) {
			p := packets.Publish{TopicName: v.topic, Payload: []byte(v.text), Retain: true}
			found = append(found, core.NewMessage(&p, now.UnixNano()))
		}
	}
	return found
}

type sysValue struct{ topic, text string }

// values returns the whole tree as of now. It may be called on any goroutine.
func (t *sysTree) values(now time.Time) []sysValue {
	b := t.b
	m := b.Metrics()
	var dropped uint64
	for _, n := range m.Dropped {
		dropped += n
	}
	inFlight, queued, queuedBytes := b.sessions.weigh()
	heap, most := heapBytes()
	uptime := int64(now.Sub(t.started) / time.Second)
	online := m.Sessions - m.SessionsOffline

	list := make([]sysValue, 0, 96)
	text := func(name, value string) { list = append(list, sysValue{"$SYS/broker/" + name, value}) }
	number := func(name string, n uint64) { text(name, strconv.FormatUint(n, 10)) }
	count := func(name string, n int) { text(name, strconv.Itoa(n)) }

	text("version", "shoal version "+Version())
	text("uptime", fmt.Sprintf("%d seconds", uptime))
	text("timestamp", t.started.UTC().Format(time.RFC3339))
	text("started", strconv.FormatInt(t.started.Unix(), 10))
	text("time", strconv.FormatInt(now.Unix(), 10))

	count("clients/total", m.Sessions)
	count("clients/connected", online)
	count("clients/active", online)
	count("clients/disconnected", m.SessionsOffline)
	count("clients/inactive", m.SessionsOffline)
	count("clients/maximum", m.ConnectionsMaximum)
	number("clients/expired", m.SessionsExpired)

	number("bytes/received", m.BytesReceived)
	number("bytes/sent", m.BytesSent)
	number("load/bytes/received", m.BytesReceived)
	number("load/bytes/sent", m.BytesSent)
	number("packets/received", m.PacketsReceived)
	number("packets/sent", m.PacketsSent)
	number("messages/received", m.PacketsReceived) // mosquitto counts packets of all types here
	number("messages/sent", m.PacketsSent)
	count("messages/inflight", inFlight)
	number("messages/dropped", dropped)
	number("publish/messages/received", m.MessagesReceived)
	number("publish/messages/sent", m.PublishesSent)
	number("publish/messages/dropped", dropped)
	number("publish/bytes/received", m.PublishBytesReceived)
	number("publish/bytes/sent", m.PublishBytesSent)

	count("retained", m.RetainedMessages)
	count("retained messages/count", m.RetainedMessages)
	count("messages/stored", queued+m.RetainedMessages)
	count("store/messages/count", queued+m.RetainedMessages)
	count("store/messages/bytes", queuedBytes)
	subscriptions, shared := b.countSubscriptions()
	count("subscriptions", subscriptions)
	count("subscriptions/count", subscriptions)
	count("shared_subscriptions/count", shared)

	number("heap/current", heap)
	number("heap/maximum", most)
	number("system/memory", heap)
	count("system/threads", runtime.NumGoroutine())
	if b.cluster != nil {
		text("node", b.cluster.self.Name)
		number("cluster/messages/forwarded", m.MessagesForwarded)
		number("cluster/messages/received", m.MessagesFromNodes)
	}
	t.load.each(func(name string, perMinute float64) { text("load/"+name, strconv.FormatFloat(perMinute, 'f', 2, 64)) })
	return list
}

// heapBytes returns the memory of live and not yet swept objects, and what the Go runtime has at most had from the system.
func heapBytes() (live, most uint64) {
	samples := []rtmetrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/total:bytes"}}
	rtmetrics.Read(samples)
	value := func(s rtmetrics.Sample) uint64 {
		if s.Value.Kind() != rtmetrics.KindUint64 {
			return 0 // a later Go does not know it
		}
		return s.Value.Uint64()
	}
	return value(samples[0]), value(samples[1])
}

// weigh counts what waits in the sessions of this node.
func (r *sessions) weigh() (inFlight, queued, bytes int) {
	for _, s := range r.all() {
		s.mu.Lock()
		inFlight += s.core.InFlight()
		queued += s.core.Len()
		bytes += s.core.Bytes()
		s.mu.Unlock()
	}
	return inFlight, queued, bytes
}

// Version returns the version of this module as the program was built with it, "(devel)" if that is not known.
func Version() string {
	const unknown = "(devel)"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return unknown
	}
	for _, m := range append(info.Deps, &info.Main) {
		if m.Path == "github.com/shoalmq/shoal" && m.Version != "" {
			return m.Version
		}
	}
	return unknown
}
