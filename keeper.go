package shoal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/shoalmq/shoal/internal/codec"
	core "github.com/shoalmq/shoal/internal/session"
	"github.com/shoalmq/shoal/packets"
)

// What belongs to no session, retained messages and bans, has its order from the agreed order, with a store that all nodes share, too: all nodes have all of it
// in memory, and answer alike. One node, the keeper, writes it into the store in that order, for a cluster that begins anew. All agree on who that
// is; each keeper has a greater Fence than the one before, and first makes the store what the agreed order has. A publisher of QoS 1 or 2 is
// answered when the keeper has written the message.

// keeper is a node's part in that.
type keeper struct {
	n *clusterNode

	mu    sync.Mutex // orders changes and what is written of them
	fence Fence      // zero while this node is not the keeper
	ready bool       // the store has all that was agreed before this node became the keeper
	// missed counts what was not written because the store fails, and too much waits for it. The store is made what the agreed order has then, once it works.
	missed int
	index  uint64 // of the last change that was agreed
	wake   chan struct{}

	waiting sync.Mutex
	waits   []keeperWait
	ask     chan struct{}
}

// keeperWait waits for what was agreed up to an index.
type keeperWait struct {
	index uint64
	then  func(error)
}

const (
	keeperLook    = 20 * time.Millisecond
	keeperTimeout = 10 * time.Second
)

var errKeeperBehind = errors.New("shoal: too much waits to be written to the store")

var errNotKeeper = errors.New("shoal: this node does not write to the store what belongs to all")

func (k *keeper) init(n *clusterNode) {
	k.n, k.wake, k.ask = n, make(chan struct{}, 1), make(chan struct{}, 1)
}

// turn finds out whether this node is the keeper. It is called on Apply's goroutine.
func (k *keeper) turn() {
	if k.n.b.journal.common == nil {
		return
	}
	a := &k.n.state
	var fence Fence
	a.mu.RLock()
	if c := &a.common; c.restored && c.keeper == k.n.self.Name && k.n.up.Load() {
		fence = Fence{Epoch: a.epoch >> generationShift << generationShift, Step: c.keeps}
	}
	a.mu.RUnlock()
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fence == fence {
		return
	}
	k.fence = fence
	k.levelAgain()
}

// pause keeps this node from writing until its next turn: what it has in memory is being replaced, and all of that is compared with the store then.
func (k *keeper) pause() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.fence, k.ready = Fence{}, false
}

// keep makes a change, and, on the keeper, writes what it returns. It is called on Apply's goroutine.
func (k *keeper) keep(change func() []Op) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.write(change())
}

// write is called with k.mu held.
func (k *keeper) write(ops []Op) {
	if k.fence == (Fence{}) || len(ops) == 0 {
		return
	}
	log := k.n.b.journal.common
	if log.full() {
		k.missed++
		k.levelAgain()
		return
	}
	log.write(ops[0].Space, k.fence, nil, ops...)
}

// levelAgain has the store made what the agreed order has. The caller holds k.mu.
func (k *keeper) levelAgain() {
	k.ready = false
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// reach notes what was agreed.
func (k *keeper) reach(index uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.index = index
}

// run makes the store what the agreed order has each time this node becomes the keeper.
func (k *keeper) run() {
	life := k.n.life
	for {
		select {
		case <-k.wake:
		case <-life.Done():
			return
		}
		for life.Err() == nil {
			err := k.level(life)
			if err == nil {
				break
			}
			k.n.b.log.Warn("retained messages and bans cannot be written to the store; it is tried again until they can", "node", k.n.self.Name, "error", err)
			select {
			case <-time.After(time.Second):
			case <-life.Done():
			}
		}
	}
}

func (k *keeper) level(ctx context.Context) error {
	k.mu.Lock()
	fence, missed := k.fence, k.missed
	k.mu.Unlock()
	if fence == (Fence{}) {
		return nil
	}
	store := k.n.b.journal.common.store
	stale, err := store.CommitFenced(ctx, nil, map[string]Fence{spaceRetained: fence, spaceBans: fence})
	if err != nil {
		return err
	}
	if len(stale) > 0 {
		return fmt.Errorf("%w any more", errNotKeeper) // it does not know yet
	}
	retained := func(key string) []byte {
		m, ok := k.n.b.retained.names.Load().Get(key)
		if !ok || m.Expired(k.n.b.nano()) {
			return nil
		}
		return appendMessage(newRecord(), m)
	}
	if err := k.levelSpace(ctx, spaceRetained, fence, k.topics(), retained); err != nil {
		return err
	}
	var keys []string
	for _, ban := range k.n.b.bans.whole() {
		keys = append(keys, string(ban.op(false).Key))
	}
	if err := k.levelSpace(ctx, spaceBans, fence, keys, k.n.b.bans.stored); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.missed != missed {
		return errKeeperBehind
	}
	k.ready = k.ready || k.fence == fence
	return nil
}

// topics returns the topics of all retained messages.
func (k *keeper) topics() (names []string) {
	for _, f := range []string{"#", "$SYS/#"} {
		k.n.b.retained.names.Load().Match(f, func(_ string, m *core.Message) bool {
			names = append(names, m.TopicName)
			return true
		})
	}
	return names
}

// levelSpace makes a Space what it is here. now returns what an entry is, nil for none; keys are those there are. What changes meanwhile is written as
// it changes.
func (k *keeper) levelSpace(ctx context.Context, space string, fence Fence, keys []string, now func(key string) []byte) error {
	level := func(key string, there []byte) {
		k.n.b.journal.common.admit(ctx)
		k.mu.Lock()
		defer k.mu.Unlock()
		if want := now(key); k.fence == fence && !bytes.Equal(want, there) {
			k.write([]Op{{Space: space, Key: []byte(key), Value: want}})
		}
	}
	seen := make(map[string]struct{})
	err := k.n.b.journal.common.store.Scan(ctx, space, nil, func(key, value []byte) error {
		seen[string(key)] = struct{}{}
		level(string(key), value)
		return nil
	})
	if err != nil {
		return err
	}
	for _, key := range keys {
		if _, was := seen[key]; !was {
			level(key, nil)
		}
	}
	return nil
}

// await calls then, on another goroutine, once the keeper has written what was agreed up to an index.
func (k *keeper) await(index uint64, then func(error)) {
	k.waiting.Lock()
	k.waits = append(k.waits, keeperWait{index, then})
	k.waiting.Unlock()
	select {
	case k.ask <- struct{}{}:
	default:
	}
}

// runWaits asks the keeper, once for all who wait.
func (k *keeper) runWaits() {
	for {
		select {
		case <-k.ask:
		case <-k.n.life.Done():
			k.finish(ErrClosed)
			return
		}
		k.finish(nil)
	}
}

func (k *keeper) finish(err error) {
	k.waiting.Lock()
	waits := k.waits
	k.waits = nil
	k.waiting.Unlock()
	if len(waits) == 0 {
		return
	}
	if err == nil {
		index := uint64(0)
		for _, w := range waits {
			index = max(index, w.index)
		}
		ctx, cancel := context.WithTimeout(k.n.life, keeperTimeout)
		err = k.askKeeper(ctx, index)
		cancel()
	}
	for _, w := range waits {
		w.then(err)
	}
}

// askKeeper returns when whoever is the keeper has written what was agreed up to an index.
func (k *keeper) askKeeper(ctx context.Context, index uint64) error {
	for {
		k.n.state.mu.RLock()
		name := k.n.state.common.keeper
		k.n.state.mu.RUnlock()
		err := errNotKeeper
		switch name {
		case "":
		case k.n.self.Name:
			err = k.written(ctx, index)
		default:
			_, err = k.n.c.Call(ctx, name, codec.AppendUint(request(callKept), index))
		}
		if err == nil {
			return nil
		}
		select {
		case <-time.After(keeperLook):
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}

// written returns when this node, the keeper, has written what was agreed up to an index.
func (k *keeper) written(ctx context.Context, index uint64) error {
	for {
		k.mu.Lock()
		fence, enough := k.fence, k.ready && k.index >= index
		k.mu.Unlock()
		if fence == (Fence{}) {
			return errNotKeeper
		}
		if enough {
			return k.flush(ctx, fence)
		}
		select {
		case <-time.After(keeperLook):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// flush returns when everything that was agreed so far is written, if this node still is the keeper then.
func (k *keeper) flush(ctx context.Context, fence Fence) error {
	if err := k.n.b.journal.common.flush(ctx); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fence != fence {
		return errNotKeeper
	}
	return nil
}

// awaitKept makes a retained message that was agreed wait for the keeper.
func (n *clusterNode) awaitKept(a *acceptance, index uint64) {
	n.keeper.await(index, func(err error) {
		if err != nil {
			n.b.log.Debug("a retained message is not in the store", "node", n.self.Name, "error", err)
			a.finish(packets.ImplementationSpecificError)
			return
		}
		a.finish(packets.Success)
	})
}
