package shoal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/shoalmq/shoal/internal/codec"
)

// A cluster that begins with a store in which another has left its data: all nodes were restarted, and their agreed order was in memory, or is on disks
// that are gone. One node, as all agree, the restorer, takes what is there into the agreed order before any node serves: it makes the sessions, so
// that their routes are there before the first publish is acknowledged, and proposes retained messages and bans. Sessions go from there to
// where their clients come back.
//
// The epochs of the new cluster must be greater than those the old one wrote with, which count from 1 again. The store has the number of clusters
// there were; it is the upper part of an epoch.

// commonState is what all nodes agree on for the store they share.
type commonState struct {
	sessions string // where all nodes keep sessions: AttributeSessions of the first one that was up; "" before
	restorer string // the node that takes what the store has into the agreed order; "" if none does
	restored bool   // one has
	keeper   string // the node that writes retained messages and bans; see keeper.go
	keeps    uint64 // since when, in the agreed order
}

func (c *commonState) append(b []byte) []byte {
	b = codec.AppendString(b, c.sessions)
	b = codec.AppendBool(codec.AppendString(b, c.restorer), c.restored)
	return codec.AppendUint(codec.AppendString(b, c.keeper), c.keeps)
}

func (c *commonState) read(r *codec.Reader) {
	c.sessions = r.String()
	c.restorer, c.restored, c.keeper, c.keeps = r.String(), r.Bool(), r.String(), r.Uint()
}

// What cmdCommon says.
const (
	commonAsk   byte = iota // nothing
	commonBegin             // the proposing node is the restorer, if there is none, of the cluster with a number
	commonDone              // it is through
)

// generationShift is how many bits of an epoch count claims; those above are the number of the cluster.
const generationShift = 40

func (a *agreed) applyCommon(node string, r *codec.Reader) any {
	what, generation := r.Byte(), r.Uint()
	if r.Err() != nil {
		return r.Err()
	}
	a.mu.Lock()
	c := &a.common
	switch {
	case what == commonBegin && c.restorer == "" && !c.restored:
		c.restorer = node
		a.epoch = max(a.epoch, generation<<generationShift)
	case what == commonDone && c.restorer == node:
		c.restorer, c.restored = "", true
	}
	now := *c
	a.mu.Unlock()
	a.n.keeper.turn()
	return now
}

const (
	spaceCluster = "cluster"
	// lookAgain is how often a node looks whether another is through with the store.
	lookAgain = 100 * time.Millisecond
)

var generationKey = []byte("generation")

// beginWithStore returns when what the store has is in the agreed order. What it cannot do now it tries again, until this node is given up, or ctx ends.
func (n *clusterNode) beginWithStore(ctx context.Context) error {
	for said := false; ; {
		c, err := n.proposeCommon(ctx, commonAsk, 0)
		switch {
		case err != nil:
			return err
		case c.restored:
			return nil
		case c.restorer == "":
			var generation uint64
			if generation, err = n.nextGeneration(ctx); err == nil {
				_, err = n.proposeCommon(ctx, commonBegin, generation)
			}
		case c.restorer == n.self.Name:
			if err = n.restoreCommon(ctx); err == nil {
				_, err = n.proposeCommon(ctx, commonDone, 0)
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil && !said {
			n.b.log.Error("what the store has cannot be read; it is tried again until it can", "node", n.self.Name, "error", err)
			said = true
		}
		select {
		case <-time.After(lookAgain):
		case <-ctx.Done():
		}
	}
}

func (n *clusterNode) proposeCommon(ctx context.Context, what byte, generation uint64) (commonState, error) {
	result, err := n.c.Propose(ctx, codec.AppendUint(append(command(cmdCommon), what), generation))
	if err != nil {
		return commonState{}, err
	}
	c, ok := result.(commonState)
	if !ok {
		return commonState{}, asError(result)
	}
	return c, nil
}

// nextGeneration gives this cluster its number. Two nodes may do that at the same time, and no number is used twice.
func (n *clusterNode) nextGeneration(ctx context.Context) (uint64, error) {
	store := n.b.journal.common.store
	var last uint64
	err := store.Scan(ctx, spaceCluster, generationKey, func(key, value []byte) error {
		if !bytes.Equal(key, generationKey) {
			return nil
		}
		r, err := openRecord(value)
		if err != nil {
			return err
		}
		last = r.Uint()
		return r.Err()
	})
	if err != nil {
		return 0, err
	}
	if last++; last >= 1<<(64-generationShift) {
		return 0, fmt.Errorf("shoal: the store has had %d clusters: it is damaged", last-1)
	}
	op := Op{Space: spaceCluster, Key: generationKey, Value: codec.AppendUint(newRecord(), last)}
	return last, store.Commit(ctx, []Op{op})
}

// restoreCommon takes everything that is in the store into the agreed order.
func (n *clusterNode) restoreCommon(ctx context.Context) error {
	began := time.Now()
	sessions, err := n.restoreCommonSessions(ctx)
	if err != nil {
		return fmt.Errorf("shoal: restore sessions: %w", err)
	}
	messages, err := n.restoreAgreed(ctx, spaceRetained, func(r *codec.Reader) []byte {
		m := readMessage(r)
		if r.Err() != nil || m.Expired(n.b.nano()) {
			return nil
		}
		return appendMessage(command(cmdRetain), m)
	})
	if err != nil {
		return fmt.Errorf("shoal: restore retained messages: %w", err)
	}
	bans, err := n.restoreAgreed(ctx, spaceBans, func(r *codec.Reader) []byte {
		ban := readBan(r)
		if r.Err() != nil {
			return nil
		}
		return banCommand(ban, false, time.Now())
	})
	if err != nil {
		return fmt.Errorf("shoal: restore bans: %w", err)
	}
	n.b.log.Info("the cluster begins with what the store has",
		"sessions", sessions, "retained", messages, "bans", bans, "took", time.Since(began).Round(time.Millisecond))
	return nil
}

// restoreCommonSessions makes the sessions in the store this node's, as far as they are nobody's.
func (n *clusterNode) restoreCommonSessions(ctx context.Context) (count int, err error) {
	seen := make(map[string]struct{})
	var ids []string
	err = n.b.journal.common.store.Spaces(ctx, sessionPrefix, func(space string) error {
		id := space[len(sessionPrefix):]
		if _, twice := seen[id]; !twice {
			seen[id] = struct{}{}
			ids = append(ids, id)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	const chunk = 1000
	for len(ids) > 0 {
		some := ids[:min(chunk, len(ids))]
		ids = ids[len(some):]
		cmd := command(cmdSessions)
		for _, id := range some {
			cmd = codec.AppendString(cmd, id)
		}
		result, err := n.c.Propose(ctx, cmd)
		if err != nil {
			return count, err
		}
		if _, ok := result.([]uint64); !ok {
			return count, asError(result)
		}
		a := new(adoption)
		for _, id := range some {
			if o := n.state.owner(id); o != nil && o.home == n.self.Name {
				a.sessions = append(a.sessions, inherited{id: id, owner: *o})
			}
		}
		n.loadInherited(a)
		for i := range a.sessions {
			settled := a.sessions[i].kept.settle()
			s := n.makeInherited(&a.sessions[i])
			s.mu.Lock()
			s.noting = settled // the store is to hear of it
			s.mu.Unlock()
			s.adoptionEnds()
			s.mu.Lock()
			n.b.journal.replication.whole(s) // that it is kept; it is in the store
			s.mu.Unlock()
		}
		count += len(a.sessions)
	}
	return count, n.b.journal.flush(ctx, DurabilityQuorum)
}

// restoreAgreed proposes a command for each record of a Space, and returns when all are agreed.
func (n *clusterNode) restoreAgreed(ctx context.Context, space string, command func(r *codec.Reader) []byte) (count int, err error) {
	const window = 1000
	results := make(chan error, window)
	outstanding := 0
	wait := func(left int) {
		for ; outstanding > left; outstanding-- {
			if e := <-results; e != nil && !errors.Is(e, ErrResultUnknown) {
				err = errors.Join(err, e)
			}
		}
	}
	scanned := n.b.journal.common.store.Scan(ctx, space, nil, func(key, value []byte) error {
		r, e := openRecord(append([]byte(nil), value...))
		if e != nil {
			return e
		}
		cmd := command(r)
		if r.Err() != nil {
			return fmt.Errorf("key %q: %w", key, r.Err())
		}
		if cmd == nil {
			return nil
		}
		wait(window - 1)
		count++
		outstanding++
		n.c.ProposeAsync(cmd, func(_ any, err error) { results <- err })
		return err
	})
	wait(0)
	return count, errors.Join(scanned, err)
}
