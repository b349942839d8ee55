package raftlog

import (
	"sync"
	"time"
)

// gate counts what waits for raft, and lets nothing new in once it is shut.
//
// raft does not answer futures that it has handed to the state machine's goroutine when it is told to stop: whoever
// waited for one would wait for ever. So raft is stopped only when nobody waits. Without a majority the futures fail as
// soon as the leader notices, after a heartbeat timeout. If the state machine is so busy that they are not answered in time, they are
// abandoned, each with a goroutine that waits for it.
type gate struct {
	mu    sync.Mutex
	count int
	shut  chan struct{} // closed when shut and empty; nil before
	over  chan struct{} // closed when raft has stopped
}

func newGate() gate { return gate{over: make(chan struct{})} }

// do calls fn, on another goroutine, unless the gate is shut. It returns when fn has, or raft has stopped.
func (g *gate) do(fn func() error) error {
	g.mu.Lock()
	if g.shut != nil {
		g.mu.Unlock()
		return errClosed
	}
	g.count++
	g.mu.Unlock()
	answer := make(chan error, 1)
	go func() {
		answer <- fn()
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.count--; g.count == 0 && g.shut != nil {
			close(g.shut)
		}
	}()
	select {
	case err := <-answer:
		return err
	case <-g.over:
		return errClosed
	}
}

// abandon ends what still waits, after raft has stopped.
func (g *gate) abandon() { close(g.over) }

// close shuts the gate and waits, for a limited time, until everybody has left.
func (g *gate) close(limit time.Duration) {
	g.mu.Lock()
	g.shut = make(chan struct{})
	if g.count == 0 {
		close(g.shut)
	}
	g.mu.Unlock()
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case <-g.shut:
	case <-t.C:
	}
}
