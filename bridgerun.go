package shoal

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"
)

// How bridges run: each on a goroutine of its own, started before the first client comes, begun anew
// after an error, and stopped before anything else is when the broker shuts down.

// A bridge that has failed begins again after firstRestart, and after twice as long each time, up to
// longestRestart, until it has run for that long.
const (
	firstRestart   = 500 * time.Millisecond
	longestRestart = 30 * time.Second
)

// BridgeState is what a bridge does at this node.
type BridgeState string

// The states of a bridge.
const (
	BridgeWaiting BridgeState = "waiting" // it has not begun
	BridgeStandby BridgeState = "standby" // it waits for its session, which another node has
	BridgeRunning BridgeState = "running"
	BridgeFailed  BridgeState = "failed" // it has returned an error and is going to begin again
	BridgeStopped BridgeState = "stopped"
)

// BridgeObserver is told of each change of a bridge's state at this node. It is a hook; see WithHook.
type BridgeObserver interface {
	BridgeChanged(e BridgeEvent)
}

// BridgeEvent tells of a bridge's state.
type BridgeEvent struct {
	Bridge string
	State  BridgeState
	Err    error // why it has failed
}

// BridgeStatus is how a bridge does at this node.
type BridgeStatus struct {
	Name     string
	State    BridgeState
	Since    time.Time // of the state
	Err      error     // the last one, nil if there was none
	Restarts uint64    // after errors
	// Queued and QueuedBytes are what the session has, if it is at this node: what waits, and what is
	// not acknowledged yet.
	Queued      int
	QueuedBytes int
	Delivered   uint64 // messages that the bridge was handed
	Published   uint64 // messages of the bridge's that were accepted
	Failed      uint64 // and those that were not
}

// bridgeStatus is the part of a BridgeStatus that changes together.
type bridgeStatus struct {
	mu       sync.Mutex
	state    BridgeState
	since    time.Time
	err      error
	restarts uint64
	sub      *Subscription
}

func (s *bridgeStatus) hold(sub *Subscription) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sub = sub
}

// enter changes the state and tells the observers.
func (h *BridgeHost) enter(state BridgeState, err error) {
	h.status.mu.Lock()
	changed := h.status.state != state
	h.status.state = state
	if changed {
		h.status.since = time.Now()
	}
	if err != nil {
		h.status.err = err
		h.status.restarts++
	}
	h.status.mu.Unlock()
	if !changed {
		return
	}
	for _, o := range h.b.hooks.bridge {
		h.b.guard(func() { o.BridgeChanged(BridgeEvent{Bridge: h.name, State: state, Err: err}) })
	}
}

// Bridges returns how the bridges of this node do, in the order in which they were given.
func (b *Broker) Bridges() []BridgeStatus {
	list := make([]BridgeStatus, 0, len(b.bridges))
	for _, h := range b.bridges {
		list = append(list, h.report())
	}
	return list
}

func (h *BridgeHost) report() BridgeStatus {
	st := BridgeStatus{Name: h.name, Published: h.published.Load(), Failed: h.failed.Load()}
	h.status.mu.Lock()
	st.State, st.Since, st.Err, st.Restarts = h.status.state, h.status.since, h.status.err, h.status.restarts
	sub := h.status.sub
	h.status.mu.Unlock()
	st.Delivered = h.delivered.Load()
	id := h.id
	if sub != nil {
		id = sub.lasting.id
		st.Delivered += sub.lasting.handed.Load()
	}
	if s := h.b.sessions.get(id); s != nil {
		s.mu.Lock()
		st.Queued, st.QueuedBytes = s.core.Len(), s.core.Bytes()
		s.mu.Unlock()
	}
	return st
}

// startBridges starts all bridges.
func (b *Broker) startBridges() {
	ctx, cancel := context.WithCancel(b.life)
	b.stopBridges = cancel
	for _, h := range b.bridges {
		h.bridge.Bind(h)
	}
	for _, h := range b.bridges {
		b.bridging.Go(func() { h.run(ctx) })
	}
	if b.cluster != nil && len(b.bridges) > 0 {
		b.bridging.Go(func() { b.handOnLost(ctx) })
	}
}

// handOnInterval is how often sessions of lost nodes are looked for.
const handOnInterval = 5 * time.Second

// handOnLost hands on what nodes that were lost had of bridges that are spread: their sessions have
// come to this node, and nobody connects to them until those nodes are back.
func (b *Broker) handOnLost(ctx context.Context) {
	tick := time.NewTicker(handOnInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		for _, node := range b.cluster.lostNodes() {
			for _, h := range b.bridges {
				if s := b.sessions.get(h.id + "@" + node); s != nil && h.spread.Load() {
					s.redispatch()
				}
			}
		}
	}
}

// lostNodes returns nodes that were lost and are not back.
func (n *clusterNode) lostNodes() (names []string) {
	n.state.mu.RLock()
	defer n.state.mu.RUnlock()
	for name := range n.state.heirs {
		if _, up := n.state.up[name]; !up {
			names = append(names, name)
		}
	}
	return names
}

// endBridges has all bridges end, and waits for that until ctx ends.
func (b *Broker) endBridges(ctx context.Context) {
	if b.stopBridges == nil {
		return
	}
	b.stopBridges()
	done := make(chan struct{})
	b.wg.Go(func() {
		b.bridging.Wait()
		close(done)
	})
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// run runs the bridge, again and again.
func (h *BridgeHost) run(ctx context.Context) {
	pause := firstRestart
	for ctx.Err() == nil {
		began := time.Now()
		err := h.once(ctx)
		switch {
		case ctx.Err() != nil:
		case errors.Is(err, ErrTakenOver):
			h.log.Info("another node has the bridge now")
			continue
		default:
			if err == nil {
				err = errors.New("shoal: Run has returned without an error, and is to run until it is told to end")
			}
			if time.Since(began) >= longestRestart {
				pause = firstRestart
			}
			wait := pause/2 + rand.N(pause/2)
			h.log.Warn("a bridge has failed and begins again", "error", err, "pause", wait)
			h.enter(BridgeFailed, err)
			select {
			case <-time.After(wait):
			case <-ctx.Done():
			}
			pause = min(2*pause, longestRestart)
		}
	}
	h.enter(BridgeStopped, nil)
}

// once runs the bridge until it returns, and closes its subscription.
func (h *BridgeHost) once(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			h.log.Error("panic in a bridge", "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("shoal: panic in the bridge: %v", p)
		}
		h.status.mu.Lock()
		sub := h.status.sub
		h.status.sub = nil
		h.status.mu.Unlock()
		if sub != nil {
			_ = sub.Close() // cannot fail
			h.delivered.Add(sub.lasting.handed.Load())
		}
	}()
	h.log.Info("bridge begins")
	h.enter(BridgeRunning, nil)
	return h.bridge.Run(ctx, h)
}
