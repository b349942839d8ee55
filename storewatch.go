package shoal

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"time"

	"github.com/shoalmq/shoal/internal/codec"
)

// A store that all nodes share can lose its data and go on: it was emptied, or restarted with nothing on its disk, or with what was there a while ago. The
// nodes still have their sessions in memory, and all agree on what belongs to none, so nothing that was acknowledged is lost, if it is written again.
//
// Every node leaves a sign in the store, a number that grows, and looks every second whether it is there. Where it is not, or is older than the last one the
// store has confirmed, the store has lost what was written since.
//
//	Space "sign/NAME"  key "s" → the run of the node, number

const (
	signPrefix = "sign/"
	// signLook is how often a node looks.
	signLook = time.Second
	// signLeap is by how much a Fence grows that was too small: a clock was put back.
	signLeap = 1 << 50
)

var signKey = []byte{'s'}

// storeWatch looks after the data of the store, on a goroutine of its own.
type storeWatch struct {
	n         *clusterNode
	space     string
	run       uint64
	number    uint64 // of the last sign that was tried
	confirmed uint64 // of the last that the store has confirmed
	fence     Fence
}

// watchStore notices that the store has lost data, and writes again what this node has, until the node ends.
func (n *clusterNode) watchStore() {
	w := &storeWatch{n: n, space: signPrefix + n.self.Name, run: rand.Uint64(), fence: Fence{Epoch: uint64(time.Now().UnixNano())}}
	for {
		pause := signLook
		if w.confirmed == 0 {
			pause = lookAgain // what is lost before the first sign is not noticed
		}
		select {
		case <-time.After(pause):
		case <-n.life.Done():
			return
		}
		if n.serving() {
			w.look()
		}
	}
}

// look looks for the last sign, and leaves the next one. What fails is tried again the next time.
func (w *storeWatch) look() {
	ctx, cancel := context.WithTimeout(w.n.life, storePatience)
	defer cancel()
	if w.confirmed > 0 {
		there, err := w.there(ctx)
		if err != nil {
			return
		}
		if !there {
			w.confirmed = 0
			w.n.writeAgain(ctx)
		}
	}
	w.number++
	store := w.n.b.journal.common.store
	value := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(newRecord(), w.run), w.number)
	stale, err := store.CommitFenced(ctx, []Op{{Space: w.space, Key: signKey, Value: value}}, map[string]Fence{w.space: w.fence})
	switch {
	case err != nil:
	case len(stale) > 0:
		w.fence.Epoch += signLeap
	default:
		w.confirmed = w.number
	}
}

// there reports whether the store has the last sign that it has confirmed, or a later one.
func (w *storeWatch) there(ctx context.Context) (there bool, err error) {
	err = w.n.b.journal.common.store.Scan(ctx, w.space, nil, func(_, value []byte) error {
		r, err := openRecord(value)
		if err != nil {
			return err
		}
		run, number := r.Fixed64(), r.Fixed64()
		there = r.Err() == nil && run == w.run && number >= w.confirmed
		return nil
	})
	return there, err
}

// writeAgain writes to a store that has lost its data what this node has.
func (n *clusterNode) writeAgain(ctx context.Context) {
	j := n.b.journal.common
	count := 0
	for _, s := range n.b.sessions.all() {
		j.admit(ctx)
		s.mu.Lock()
		if s.durable && s.phase == phaseHome {
			j.writeWhole(s)
			count++
		}
		s.mu.Unlock()
	}
	n.keeper.mu.Lock()
	keeps := n.keeper.fence != Fence{}
	if keeps {
		n.keeper.levelAgain()
	}
	n.keeper.mu.Unlock()
	if generation := n.generation(); generation > 0 {
		op := Op{Space: spaceCluster, Key: generationKey, Value: codec.AppendUint(newRecord(), generation)}
		if err := j.store.Commit(ctx, []Op{op}); err != nil {
			n.b.log.Warn("the number of the cluster is not in the store; the next loss of all nodes begins with an empty store", "node", n.self.Name, "error", err)
		}
	}
	n.b.log.Error("THE STORE HAS LOST DATA: it was emptied, or restarted without what it had confirmed; what this node has is written again. "+
		"Have the store keep what it confirms: appendonly yes, maxmemory-policy noeviction",
		"node", n.self.Name, "sessions", count, "retained_and_bans", keeps)
}

// generation returns the number of the cluster, as the agreed order has it.
func (n *clusterNode) generation() uint64 {
	n.state.mu.RLock()
	defer n.state.mu.RUnlock()
	return n.state.epoch >> generationShift
}
