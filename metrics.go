package shoal

import (
	"sync"
	"sync/atomic"

	"github.com/shoalmq/shoal/internal/outbox"
	"github.com/shoalmq/shoal/internal/quota"
)

// Metrics are counters since the start of the broker, and gauges of now.
type Metrics struct {
	ConnectionsAccepted  uint64
	ConnectionsOpen      int
	Sessions             int
	Subscriptions        int // on this node, a shared group counted once
	RetainedMessages     int
	ClientsAccepted      uint64 // connections whose CONNECT was accepted
	ConnectionsMaximum   int    // the most that were open at the same time
	SessionsOffline      int    // sessions without a connection
	SessionsExpired      uint64 // sessions that ended because their client did not come back in time
	PacketsReceived      uint64 // of all types, from clients of this node
	PacketsSent          uint64 // of all types, handed to the connections of clients of this node
	BytesReceived        uint64 // in packets of all types
	BytesSent            uint64
	PublishBytesReceived uint64 // in PUBLISH packets
	PublishBytesSent     uint64
	PublishesSent        uint64 // PUBLISH packets, those sent again included
	MessagesReceived     uint64 // PUBLISH packets from clients of this node
	MessagesDelivered    uint64 // to sessions of this node
	MessagesForwarded    uint64 // to other nodes
	MessagesFromNodes    uint64 // from other nodes
	MessagesHeldBack     uint64 // whose publishers were answered late because a queue was full; see QueueWait
	HeldBack             int    // of them, those that wait now
	Dropped              map[DropReason]uint64
	DropEventsLost       uint64 // events, not messages; see DropObserver
	QueuedBytes          int64  // that wait in the queues of this node's sessions, in flight included
	RetainedBytes        int64
	SessionSubscriptions int    // of this node's sessions, each counted
	MemoryUsed           uint64 // of the process, in bytes; 0 without WithMemoryLimit
	MemoryLimit          uint64
	// Refused counts what was refused because a limit was reached, by the limit: sessions, subscriptions, queued_bytes, retained_messages,
	// retained_bytes (TotalLimits, and tenants'), memory, topic, user_properties.
	Refused map[string]uint64
}

type metrics struct {
	accepted, received, delivered, forwarded, fromNodes, heldBack, eventsLost, expired, clients atomic.Uint64
	open, online, most                                                                          atomic.Int64
	in, out                                                                                     trafficCounters

	noMemory, tooLong, tooManyProperties atomic.Uint64

	mu      sync.Mutex
	dropped map[DropReason]uint64
}

// trafficCounters count packets of one direction.
type trafficCounters struct {
	packets, bytes, publishes, publishBytes atomic.Uint64
}

func (c *trafficCounters) add(t *outbox.Traffic) {
	if t.Packets == 0 {
		return
	}
	c.packets.Add(uint64(t.Packets))
	c.bytes.Add(uint64(t.Bytes))
	if t.PublishPackets > 0 {
		c.publishes.Add(uint64(t.PublishPackets))
		c.publishBytes.Add(uint64(t.PublishBytes))
	}
}

// closed takes back what opened has counted.
func (m *metrics) closed(c *conn) {
	if c.own == nil {
		m.open.Add(-1)
	}
}

// opened counts a connection that was accepted.
func (m *metrics) opened(c *conn) {
	if c.own != nil {
		return
	}
	m.accepted.Add(1)
	now := m.open.Add(1)
	for {
		most := m.most.Load()
		if now <= most || m.most.CompareAndSwap(most, now) {
			return
		}
	}
}

// Metrics returns the broker's counters. It may be called at any time on any goroutine.
func (b *Broker) Metrics() Metrics {
	m := Metrics{
		ConnectionsAccepted:  b.metrics.accepted.Load(),
		ConnectionsOpen:      int(b.metrics.open.Load()),
		Sessions:             b.sessions.len(),
		Subscriptions:        b.index.Len(),
		RetainedMessages:     b.retained.len(),
		ClientsAccepted:      b.metrics.clients.Load(),
		ConnectionsMaximum:   int(b.metrics.most.Load()),
		SessionsOffline:      max(0, b.sessions.len()-int(b.metrics.online.Load())),
		SessionsExpired:      b.metrics.expired.Load(),
		PacketsReceived:      b.metrics.in.packets.Load(),
		PacketsSent:          b.metrics.out.packets.Load(),
		BytesReceived:        b.metrics.in.bytes.Load(),
		BytesSent:            b.metrics.out.bytes.Load(),
		PublishBytesReceived: b.metrics.in.publishBytes.Load(),
		PublishBytesSent:     b.metrics.out.publishBytes.Load(),
		PublishesSent:        b.metrics.out.publishes.Load(),
		MessagesReceived:     b.metrics.received.Load(),
		MessagesDelivered:    b.metrics.delivered.Load(),
		MessagesForwarded:    b.metrics.forwarded.Load(),
		MessagesFromNodes:    b.metrics.fromNodes.Load(),
		MessagesHeldBack:     b.metrics.heldBack.Load(),
		HeldBack:             b.heldBack.Held(),
		DropEventsLost:       b.metrics.eventsLost.Load(),
		Dropped:              make(map[DropReason]uint64),
		QueuedBytes:          b.totals.Whole.Used(quota.QueuedBytes),
		RetainedBytes:        b.totals.Whole.Used(quota.RetainedBytes),
		SessionSubscriptions: int(b.totals.Whole.Used(quota.Subscriptions)),
		Refused:              b.refusedByLimits(),
	}
	m.MemoryUsed, m.MemoryLimit = b.memory.Now()
	b.metrics.mu.Lock()
	defer b.metrics.mu.Unlock()
	for r, n := range b.metrics.dropped {
		m.Dropped[r] = n
	}
	return m
}

// countSubscriptions returns how many subscriptions there are on this node, and how many of them are shared ones.
func (b *Broker) countSubscriptions() (all, shared int) {
	b.groups.mu.Lock()
	groups := make([]*group, 0, len(b.groups.byName))
	for _, g := range b.groups.byName {
		groups = append(groups, g)
	}
	b.groups.mu.Unlock()
	for _, g := range groups {
		shared += g.count().all
	}
	return max(0, b.index.Len()-len(groups)) + shared, shared
}

// drop counts a dropped message and tells the observers. It never blocks and may be called under a session's lock.
func (b *Broker) drop(e DroppedEvent) {
	b.metrics.mu.Lock()
	if b.metrics.dropped == nil {
		b.metrics.dropped = make(map[DropReason]uint64)
	}
	b.metrics.dropped[e.Reason]++
	b.metrics.mu.Unlock()
	if log := b.journal.storeLog(); log != nil && e.Reason == DropStoreAway {
		log.health.refused.Add(1)
	}
	if b.dropEvents == nil {
		return
	}
	select {
	case b.dropEvents <- e:
	default:
		b.metrics.eventsLost.Add(1)
	}
}

// reportDrops tells the observers, on a goroutine of its own, until the broker has stopped.
func (b *Broker) reportDrops() {
	for {
		select {
		case e := <-b.dropEvents:
			for _, o := range b.hooks.dropped {
				b.guard(func() { o.MessageDropped(e) })
			}
		case <-b.life.Done():
			return
		}
	}
}
