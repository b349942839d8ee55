package raftlog

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// reign is one term of leadership of this node: the leases it grants and the nodes it gives up.
type reign struct {
	log  *Log
	term uint64
	// ownEnd returns when the leader's own lease ends.
	ownEnd func() (time.Time, error)
	// strangers are nodes of other clusters that have been reported. On reconcileVoters' goroutine.
	strangers map[string]bool
	misfits   sync.Map // names of nodes whose level has been reported

	mu       sync.Mutex
	ready    bool
	granted  map[string]*grant
	awake    stopwatch
	absences map[string]*absence
}

// grant is what the leader knows of one incarnation of a node.
type grant struct {
	incarnation uint64
	until       time.Time // the node may serve until then
	// silent is for how long this node has waited for the other one to ask. What it has slept through itself does not count.
	silent    time.Duration
	condemned bool // its NodeDown has been proposed: nothing is granted any more
	applied   uint64
}

var (
	errNotUp     = errors.New("it is not up")
	errCondemned = errors.New("it is being given up")
	errBehind    = errors.New("it has not applied its own NodeUp")
	errNoQuorum  = errors.New("the leader has no lease of its own")
)

// reigns follows raft's changes of leadership.
func (l *Log) reigns(ctx context.Context, elected <-chan bool) {
	end := func() {}
	defer func() { end() }()
	for {
		select {
		case leads := <-elected:
			end()
			end = func() {}
			if leads {
				end = l.beginReign(ctx)
			}
		case <-ctx.Done():
			return
		}
	}
}

func newReign(l *Log, term uint64) *reign {
	r := &reign{log: l, term: term, strangers: make(map[string]bool), granted: make(map[string]*grant), absences: make(map[string]*absence)}
	r.ownEnd = r.confirmedUntil
	return r
}

// beginReign starts a reign and returns what ends it.
func (l *Log) beginReign(ctx context.Context) (end func()) {
	r := newReign(l, l.raft.CurrentTerm())
	l.reign.Store(r)
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { r.run(ctx) })
	wg.Go(func() { r.reconcileVoters(ctx) })
	return func() {
		l.reign.Store(nil)
		cancel()
		wg.Wait()
	}
}

// run waits until everything earlier leaders left is applied, and then looks after the leases.
func (r *reign) run(ctx context.Context) {
	for r.log.gate.do(func() error { return r.log.raft.Barrier(enqueueTimeout).Error() }) != nil {
		select {
		case <-ctx.Done():
			return
		case <-time.After(retryMin):
		}
	}
	r.log.settleTime(ctx) // it is known now who was up
	r.mu.Lock()
	r.ready = true
	r.mu.Unlock()
	r.log.pokeRenew()
	t := time.NewTicker(r.period())
	defer t.Stop()
	for {
		_, _, _, changed := r.log.fsm.member("")
		for _, d := range r.overdue() {
			if err := r.log.applyHere(encodeNodeDown(d)); err != nil {
				r.log.cfg.Logger.Debug("giving up a node", "node", d.name, "err", err)
			}
		}
		select {
		case <-t.C:
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// period is how often the leader looks after the leases.
func (r *reign) period() time.Duration { return r.log.cfg.LeaseDuration / (2 * renewals) }

// margin is added to what was granted before a node is given up, for clocks that run at different speeds.
func (r *reign) margin() time.Duration { return r.log.cfg.LeaseDuration / 20 }

// of returns the grant of a node that is up. Called with r.mu held.
func (r *reign) of(m member) *grant {
	g := r.granted[m.node.Name]
	if g == nil || g.incarnation != m.node.Incarnation {
		// It may have a lease of the leader before this one; or it has just come up, and gets time to ask.
		g = &grant{incarnation: m.node.Incarnation, until: time.Now().Add(r.log.cfg.LeaseDuration)}
		r.granted[m.node.Name] = g
	}
	return g
}

// overdue returns the nodes to give up now, and grants them nothing any more. The leader gives nobody up before a majority has confirmed it, and each
// node has had a whole lease's time to ask while this one was there to hear it.
func (r *reign) overdue() []nodeDown {
	members := r.log.fsm.members()
	end, err := r.ownEnd()
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	confirmed := err == nil && now.Before(end)
	elapsed := r.awake.tick(2 * r.period())
	var adopters []string
	var lost []member
	for _, m := range members {
		g := r.of(m)
		g.silent += elapsed
		if !confirmed {
			g.silent = 0
		}
		if g.condemned || g.silent >= r.log.cfg.LeaseDuration && now.After(g.until.Add(r.margin())) {
			g.condemned = true
			lost = append(lost, m)
		} else {
			adopters = append(adopters, m.node.Name)
		}
	}
	downs := make([]nodeDown, 0, len(lost))
	for _, m := range lost {
		downs = append(downs, nodeDown{name: m.node.Name, incarnation: m.node.Incarnation, adopter: adopter(adopters, m.node.Name, r.log.cfg.Self.Name)})
	}
	return downs
}

// adopter picks the node after the lost one, in the order of the names, so that several losses are spread.
func adopter(live []string, lost, otherwise string) string {
	for _, name := range live {
		if name > lost {
			return name
		}
	}
	for _, name := range live {
		if name != lost {
			return name
		}
	}
	return otherwise
}

// confirmedUntil is ownEnd: one lease after a moment at which a majority took this node for its leader.
func (r *reign) confirmedUntil() (time.Time, error) {
	future := r.log.raft.GetConfiguration()
	if err := future.Error(); err != nil {
		return time.Time{}, err
	}
	at, ok := r.log.transport.confirmed(r.term, raft.ServerID(r.log.cfg.Self.Name), future.Configuration().Servers)
	if !ok {
		return time.Time{}, errNoQuorum
	}
	return at.Add(r.log.cfg.LeaseDuration), nil
}

// grant answers a renewal with how long the lease runs from now.
func (r *reign) grant(name string, incarnation, applied uint64) (time.Duration, error) {
	end, err := r.ownEnd()
	if err != nil {
		return 0, err
	}
	m, isUp, _, _ := r.log.fsm.member(name)
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.ready {
		return 0, errNotReady
	}
	if !isUp || m.node.Incarnation != incarnation {
		return 0, errNotUp
	}
	g := r.of(m)
	if g.condemned {
		return 0, errCondemned
	}
	g.applied = max(g.applied, applied)
	if applied < m.index {
		return 0, errBehind
	}
	ttl := time.Until(end)
	if ttl <= 0 {
		return 0, errNoQuorum
	}
	g.silent = 0
	if end.After(g.until) {
		g.until = end
	}
	return ttl, nil
}

// appliedBy returns the applied index that a node last reported, or 0.
func (r *reign) appliedBy(name string, incarnation uint64) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if g := r.granted[name]; g != nil && g.incarnation == incarnation {
		return g.applied
	}
	return 0
}

// condemn makes sure that an incarnation gets no further lease, and returns who adopts its duties.
func (r *reign) condemn(name string, incarnation uint64) (nodeDown, error) {
	m, isUp, _, _ := r.log.fsm.member(name)
	members := r.log.fsm.members()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.ready {
		return nodeDown{}, errNotReady
	}
	if !isUp || m.node.Incarnation != incarnation {
		return nodeDown{}, errNotUp
	}
	r.of(m).condemned = true
	var live []string
	for _, m := range members {
		if !r.of(m).condemned {
			live = append(live, m.node.Name)
		}
	}
	return nodeDown{name: name, incarnation: incarnation, adopter: adopter(live, name, name)}, nil
}
