package raftlog

import (
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/shoalmq/shoal/cluster/internal/nodecodec"
)

// Nodes that expect to be so many begin a cluster together, once as many as that see each other and none has state or knows of a cluster. The one
// whose name comes first asks the others for their promise to begin with it, and with nobody else for a while. With all promises it begins, with
// all of them as voters; without one of them it begins nothing. So no node is in two beginnings, and a cluster that was begun
// has its majority among nodes that promised.

const (
	// promiseFor is how long a node that has promised promises nothing to others, promiseUse how long a promise is made use of.
	promiseFor = 1500 * time.Millisecond
	promiseUse = time.Second
)

var errNoPromise = errors.New("it does not promise to begin a cluster with this node")

// pact is to whom this node has promised to begin a cluster with it.
type pact struct {
	began time.Time

	mu    sync.Mutex
	with  string
	until time.Time
}

// promise reports whether this node is free to begin a cluster with another, and is bound then.
func (p *pact) promise(with string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	// A node that has just started may have promised before.
	if now.Sub(p.began) < promiseFor || with != p.with && now.Before(p.until) {
		return false
	}
	p.with, p.until = with, now.Add(promiseFor)
	return true
}

// expect takes part in beginning a cluster until there is one.
func (l *Log) expect(ctx context.Context) {
	t := time.NewTicker(bootstrapPoll)
	defer t.Stop()
	differing := make(map[string]bool)
	for l.identity.get() == 0 {
		if names := l.company(ctx, differing); len(names) > 0 && names[0] == l.cfg.Self.Name && !l.layer.rivalled.Load() {
			if err := l.beginWith(ctx, names); err != nil && ctx.Err() == nil {
				l.cfg.Logger.Debug("cluster not begun yet", "err", err)
			}
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

// company returns the nodes that are to begin a cluster, in the order of their names; none if there are too few, or there is a cluster already.
func (l *Log) company(ctx context.Context, differing map[string]bool) []string {
	ctx, cancel := context.WithTimeout(ctx, stateTimeout)
	defer cancel()
	var names []string
	live := l.book.live()
	if len(live) < l.cfg.ExpectNodes {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(live)) {
		if name == l.cfg.Self.Name {
			names = append(names, name)
			continue
		}
		s, err := l.stateOf(ctx, name)
		switch {
		case err != nil, s.kind == stateMember, s.kind == stateBootstrap:
			return nil
		case s.kind == stateExpects && s.expects != uint64(l.cfg.ExpectNodes):
			if !differing[name] {
				differing[name] = true
				l.cfg.Logger.Error("nodes expect different numbers of nodes, and no cluster is begun: give all the same ExpectNodes",
					"node", name, "its", s.expects, "own", l.cfg.ExpectNodes)
			}
			return nil
		case s.kind == stateExpects:
			names = append(names, name)
		}
	}
	if len(names) < l.cfg.ExpectNodes {
		return nil
	}
	return names[:l.cfg.ExpectNodes]
}

// beginWith begins a cluster if all promise.
func (l *Log) beginWith(ctx context.Context, names []string) error {
	asked := time.Now()
	if !l.pact.promise(l.cfg.Self.Name) {
		return errNoPromise
	}
	id := newIdentity()
	body := binary.BigEndian.AppendUint64(nil, id)
	body = binary.AppendUvarint(body, uint64(len(names)))
	for _, name := range names {
		body = nodecodec.AppendString(body, name)
	}
	for _, name := range names[1:] {
		ctx, cancel := context.WithTimeout(ctx, stateTimeout)
		_, err := l.cfg.Peers.Control(ctx, name, append([]byte{controlVersion, opPromise}, body...))
		cancel()
		if err != nil {
			return err
		}
	}
	if time.Since(asked) > promiseUse {
		return errNoPromise
	}
	l.begin(ctx, id, names)
	return nil
}

// servePromise answers a node that is about to begin a cluster.
func (l *Log) servePromise(from string, body []byte) error {
	if len(body) < 8 {
		return errRequest
	}
	id := binary.BigEndian.Uint64(body)
	count, body, err := nodecodec.Uvarint(body[8:])
	if err != nil {
		return errRequest
	}
	live := l.book.live()
	own := false
	for i := range count {
		var name string
		if name, body, err = nodecodec.String(body); err != nil {
			return errRequest
		}
		own = own || name == l.cfg.Self.Name
		if _, seen := live[name]; !seen || i == 0 && name != from {
			return errNoPromise
		}
	}
	if l.stores.rebuilding || !own || count != uint64(l.cfg.ExpectNodes) || l.identity.get() != 0 || l.layer.rivalled.Load() || !l.pact.promise(from) {
		return errNoPromise
	}
	l.identity.promise(id)
	return nil
}
