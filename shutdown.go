package shoal

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/shoalmq/shoal/packets"
)

// Shutdown drains the broker: it stops accepting, tells its clients to go (a v5 client in a cluster: where to), stores what must last, leaves
// the cluster and returns when the process may be killed. When ctx ends first, what is left is cut off and ctx's error
// returned. Calling it again waits for the first call, or for ctx.
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
		select {
		case <-b.stopped:
			return b.stopErr
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	b.state = stateDraining
	listeners := b.listeners
	b.mu.Unlock()

	for _, l := range slices.Concat(listeners, b.cfg.listeners) { // if Start failed, some of these were not listened on
		_ = l.Close() // nothing is lost with a listener
	}
	err := b.drain(ctx)
	b.mu.Lock()
	b.state, b.stopErr = stateStopped, err
	b.mu.Unlock()
	close(b.stopped)
	return err
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
	reference := ""
	if b.cluster != nil {
		reference = b.cluster.serverReference()
	}
	code := packets.ServerShuttingDown
	if reference != "" {
		code = packets.UseAnotherServer
	}
	conns := b.kickAll(kicked{code: code, reason: "the server is shutting down", reference: reference})
	b.sessions.closeLocal()
	for _, c := range conns { // their wills are published before the end of everything
		select {
		case <-c.stopped:
		case <-ctx.Done():
		}
	}
	var err error
	if b.cluster != nil {
		b.flushJournal(ctx)
		err = b.cluster.stop(ctx)
	}
	b.retained.stop()
	b.kill()
	done := make(chan struct{})
	go func() {
		b.wg.Wait()
		b.sessions.stopTimers()
		if b.journalEnd != nil {
			b.journalEnd()
			<-b.journalDone
		}
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		b.mu.Lock()
		for c := range b.conns {
			_ = c.nc.Close()
		}
		b.mu.Unlock()
		<-done
		err = errors.Join(err, ctx.Err())
	}
	if b.cfg.storage != nil {
		err = errors.Join(err, b.cfg.storage.Close())
	}
	return err
}
