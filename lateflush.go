package shoal

import (
	"context"
	"sync"
)

// lateFlush writes answers that have become ready elsewhere than on their connection's goroutine. What completes one message often completes many: they are
// left to one goroutine, so that the answers that gather for a connection leave in one write.
type lateFlush struct {
	mu    sync.Mutex
	conns []*conn // each once: it is dirty until it is flushed
	wake  chan struct{}
}

// add has c flushed soon. The caller holds no lock.
func (l *lateFlush) add(c *conn) {
	c.mu.Lock()
	first := c.soil()
	c.mu.Unlock()
	if !first {
		return // somebody is about to
	}
	l.mu.Lock()
	l.conns = append(l.conns, c)
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// run flushes until ctx ends. What is left then is written by the end of its connection.
func (l *lateFlush) run(ctx context.Context) {
	for {
		select {
		case <-l.wake:
		case <-ctx.Done():
			return
		}
		l.mu.Lock()
		conns := l.conns
		l.conns = nil
		l.mu.Unlock()
		for _, c := range conns {
			c.flush()
		}
	}
}
