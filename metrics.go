package shoal

import (
	"sync"
	"sync/atomic"
)

// Metrics are counters since the start of the broker, and gauges of now.
type Metrics struct {
	ConnectionsAccepted uint64
	ConnectionsOpen     int
	Sessions            int
	Subscriptions       int // on this node, a shared group counted once
	RetainedMessages    int
	MessagesReceived    uint64 // PUBLISH packets from clients of this node
	MessagesDelivered   uint64 // to sessions of this node
	MessagesForwarded   uint64 // to other nodes
	MessagesFromNodes   uint64 // from other nodes
	Dropped             map[DropReason]uint64
	DropEventsLost      uint64 // events, not messages; see DropObserver
}

type metrics struct {
	accepted, received, delivered, forwarded, fromNodes, eventsLost atomic.Uint64
	open                                                            atomic.Int64

	mu      sync.Mutex
	dropped map[DropReason]uint64
}

// Metrics returns the broker's counters. It may be called at any time on any goroutine.
func (b *Broker) Metrics() Metrics {
	m := Metrics{
		ConnectionsAccepted: b.metrics.accepted.Load(),
		ConnectionsOpen:     int(b.metrics.open.Load()),
		Sessions:            b.sessions.len(),
		Subscriptions:       b.index.Len(),
		RetainedMessages:    b.retained.len(),
		MessagesReceived:    b.metrics.received.Load(),
		MessagesDelivered:   b.metrics.delivered.Load(),
		MessagesForwarded:   b.metrics.forwarded.Load(),
		MessagesFromNodes:   b.metrics.fromNodes.Load(),
		DropEventsLost:      b.metrics.eventsLost.Load(),
		Dropped:             make(map[DropReason]uint64),
	}
	b.metrics.mu.Lock()
	defer b.metrics.mu.Unlock()
	for r, n := range b.metrics.dropped {
		m.Dropped[r] = n
	}
	return m
}

// drop counts a dropped message and tells the observers. It never blocks and may be called under a session's lock.
func (b *Broker) drop(e DroppedEvent) {
	b.metrics.mu.Lock()
	if b.metrics.dropped == nil {
		b.metrics.dropped = make(map[DropReason]uint64)
	}
	b.metrics.dropped[e.Reason]++
	b.metrics.mu.Unlock()
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
