package shoal

import (
	"context"
	"errors"
	"time"
)

// Shutdown drains the broker: it stops accepting, tells its clients to go (a v5 client in a cluster: where to), at a pace if they have another
// node to go to (see Drain), stores what must last, leaves the cluster and returns when the process may be killed. When ctx ends first, what is left is cut off
// and ctx's error returned, at the latest cutOffTime after that: if something is stuck that the embedder has provided, such as a hook, an authenticator or a
// store, the rest of the work goes on when it returns. Calling it again waits for the first call, or for ctx. A hook may call it, with a ctx that ends.
func (b *Broker) Shutdown(ctx context.Context) error {
	b.mu.Lock()
	switch b.state {
	case stateNew:
		b.state = stateStopped
		b.mu.Unlock()
		b.stopErr = b.closeUnstarted()
		close(b.stopped)
		return b.stopErr
	case stateDraining, stateStopped:
		b.mu.Unlock()
		return b.awaitStopped(ctx, 0)
	}
	b.state = stateDraining
	close(b.hurry)
	b.mu.Unlock()

	go func() {
		b.closeListeners()
		err := b.drain(ctx)
		b.mu.Lock()
		b.state, b.stopErr = stateStopped, err
		b.mu.Unlock()
		close(b.stopped)
	}()
	return b.awaitStopped(ctx, cutOffTime)
}

// awaitStopped returns when the broker has stopped, or a while after ctx has ended.
func (b *Broker) awaitStopped(ctx context.Context, cutOff time.Duration) error {
	select {
	case <-b.stopped:
		return b.stopErr
	case <-ctx.Done():
	}
	timer := time.NewTimer(cutOff)
	defer timer.Stop()
	select {
	case <-b.stopped:
		return b.stopErr
	case <-timer.C:
		return ctx.Err()
	}
}

// closeUnstarted closes what the broker was given to close, though it was never started.
func (b *Broker) closeUnstarted() error {
	for _, l := range b.cfg.listeners {
		_ = l.Close() // nothing is lost with a listener
	}
	if b.cfg.storage == nil {
		return nil
	}
	return b.cfg.storage.Close()
}

// flushJournal lets what this node's sessions have changed reach the others before it leaves. Without a leader that is not to be had.
func (b *Broker) flushJournal(ctx context.Context) {
	if !b.serving() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	_ = b.journal.flush(ctx, DurabilityQuorum) // what was not acknowledged may be lost
}

// leaveTimeout bounds how long a node that stops waits for the others to have its sessions.
const leaveTimeout = 5 * time.Second

func (b *Broker) drain(ctx context.Context) error {
	b.endBridges(ctx)                                // while there is still all that they need
	if b.sendAway(ctx, DrainOptions{}, nil) != nil { // there is no time left
		b.kickAll(b.farewell())
	}
	b.sessions.closeLocal()
	var err error
	if b.cluster != nil {
		b.flushJournal(ctx)
		err = b.cluster.stop(ctx)
	}
	b.retained.stop()
	b.kill()
	for _, c := range b.allConns() {
		c.waits.end()
	}
	done := make(chan struct{})
	go func() {
		b.bridging.Wait()
		b.wg.Wait()
		b.sessions.stopTimers()
		b.wills.stop()
		if b.journalEnd != nil {
			b.journalEnd()
			<-b.journalDone
		}
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		for _, c := range b.allConns() {
			go func() { _ = c.nc.Close() }() // it may be a method of the embedder's
		}
		<-done
		err = errors.Join(err, ctx.Err())
	}
	if b.cfg.storage != nil {
		err = errors.Join(err, b.cfg.storage.Close())
	}
	return err
}
