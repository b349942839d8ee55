package shoal

import (
	"github.com/shoalmq/shoal/internal/codec"
	core "github.com/shoalmq/shoal/internal/session"
	"github.com/shoalmq/shoal/packets"
)

// Ownership: which node may serve a client. Every claim gets an epoch; whoever holds an older one can neither deliver nor
// acknowledge (guarantee 3).

// claimResult is what the claiming node learns.
type claimResult struct {
	epoch uint64
	home  string // where the client's session is; "" for nowhere
}

// claim gives a client to the proposing node.
func (a *agreed) claim(node string, r *codec.Reader) any {
	id := r.String()
	will := append([]byte(nil), r.Bytes()...)
	cleanStart := r.Bool()
	if r.Err() != nil {
		return r.Err()
	}
	a.mu.Lock()
	a.epoch++
	o := a.owners[id]
	if o == nil {
		o = &owner{}
	}
	// Readers hold no lock while they look at an owner, so it is replaced, not changed.
	next := &owner{node: node, home: o.home, epoch: a.epoch, settled: o.settled, since: o.since}
	if len(will) > 0 {
		next.will = will
	}
	a.owners[id] = next
	a.mu.Unlock()
	if o.adopter == a.n.self.Name && a.n.up.Load() {
		a.n.reclaimed(id)
	}
	if node != a.n.self.Name {
		a.n.fence(id, cleanStart)
	}
	return claimResult{epoch: next.epoch, home: o.home}
}

// moved notes that the session of a client is at the proposing node now: a new one, or the one that was at its last home, whose entries after a
// number are replaced by those that came to the new home since. It returns whether the claim is still the last one.
func (a *agreed) moved(node string, r *codec.Reader) any {
	id, epoch := r.String(), r.Uint()
	isNew, expiry, from := r.Bool(), r.Uint32(), r.Uint()
	d := &changeDecoder{r: r}
	var tail []core.Entry
	for range r.Count() {
		tail = append(tail, d.entry())
	}
	if r.Err() != nil {
		return r.Err()
	}
	a.mu.Lock()
	o := a.owners[id]
	if o == nil || o.epoch != epoch {
		a.mu.Unlock()
		return false
	}
	next := *o
	next.home, next.settled = node, epoch
	a.owners[id] = &next
	if isNew || expiry == 0 {
		delete(a.kept, id)
	}
	if expiry > 0 {
		k := a.keep(id)
		k.expiry, k.away = expiry, 0
		if !isNew {
			k.cut(from)
			for _, e := range tail {
				k.add(e)
			}
		}
	}
	a.mu.Unlock()
	if o.home == a.n.self.Name && node != a.n.self.Name {
		a.n.handedOver(id)
	}
	return true
}

// release forgets a client whose session has ended, unless it was claimed again.
func (a *agreed) release(node, id string, epoch uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if o := a.owners[id]; o != nil && (o.epoch == epoch || (o.node == "" && o.home == node)) {
		delete(a.owners, id)
		delete(a.kept, id)
	}
}

// willDone forgets a will that was published or became void.
func (a *agreed) willDone(id string, epoch uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	o := a.owners[id]
	if o == nil || o.epoch != epoch {
		return
	}
	if o.node == "" && o.home == "" {
		delete(a.owners, id) // it was kept for the will alone
		return
	}
	next := *o
	next.will, next.adopter = nil, ""
	a.owners[id] = &next
}

// announce gives a node that joined the sessions it has, those that nobody has claimed meanwhile. It returns their epochs, 0 for
// the others, in the order of the command.
func (a *agreed) announce(node string, r *codec.Reader) any {
	var epochs []uint64
	a.mu.Lock()
	defer a.mu.Unlock()
	for r.More() {
		id := r.String()
		if r.Err() != nil {
			return r.Err()
		}
		o := a.owners[id]
		if o == nil {
			o = new(owner)
		}
		if o.home == node && (o.node == node || o.node == "") {
			epochs = append(epochs, o.epoch)
			continue
		}
		if o.node != "" || o.home != "" {
			epochs = append(epochs, 0)
			continue
		}
		a.epoch++
		a.owners[id] = &owner{node: node, home: node, epoch: a.epoch, settled: a.epoch, will: o.will, adopter: o.adopter}
		epochs = append(epochs, a.epoch)
	}
	return epochs
}

// lose takes the clients of a lost node from it. Sessions that are kept go to its heir, the others are gone. Wills go to the heir, too, and so do those
// the node had adopted itself. It returns the sessions that went to this node.
func (a *agreed) lose(index uint64, node, heir string) []inherited {
	a.mu.Lock()
	defer a.mu.Unlock()
	var mine []inherited
	for id, o := range a.owners {
		if o.node != node && o.home != node && o.adopter != node {
			continue
		}
		next := *o
		if o.adopter == node {
			next.adopter = heir
		}
		if o.node == node {
			next.node = ""
			if o.will != nil && o.adopter == "" {
				next.adopter = heir
			}
		}
		if o.home == node {
			next.home = ""
			if k := a.kept[id]; k != nil {
				next.home, next.since = heir, index
				if heir == a.n.self.Name && a.n.up.Load() {
					mine = append(mine, inherited{id, k.share(), next})
				}
			}
		}
		if next.node == "" && next.home == "" && next.will == nil {
			delete(a.owners, id)
			continue
		}
		a.owners[id] = &next
	}
	return mine
}

// owner returns who has a client, or nil.
func (a *agreed) owner(id string) *owner {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.owners[id]
}

func appendOwner(b []byte, id string, o *owner) []byte {
	b = codec.AppendString(b, id)
	b = codec.AppendString(b, o.node)
	b = codec.AppendString(b, o.home)
	b = codec.AppendUint(b, o.epoch)
	b = codec.AppendBytes(b, o.will)
	b = codec.AppendString(b, o.adopter)
	return codec.AppendUint(codec.AppendUint(b, o.settled), o.since)
}

func readOwner(r *codec.Reader) (id string, o *owner) {
	id = r.String()
	o = &owner{node: r.String(), home: r.String(), epoch: r.Uint(), will: append([]byte(nil), r.Bytes()...), adopter: r.String(), settled: r.Uint(), since: r.Uint()}
	if len(o.will) == 0 {
		o.will = nil
	}
	return id, o
}

// announceSessions tells the cluster the sessions this node has, after it joined. Those that were claimed elsewhere meanwhile end here.
func (n *clusterNode) announceSessions() {
	all := n.b.sessions.all()
	const chunk = 1000
	for len(all) > 0 {
		some := all[:min(chunk, len(all))]
		all = all[len(some):]
		cmd := command(cmdSessions)
		for _, s := range some {
			cmd = codec.AppendString(cmd, s.clientID)
		}
		result, err := n.c.Propose(n.life, cmd)
		epochs, ok := result.([]uint64)
		if err != nil || !ok || len(epochs) != len(some) {
			return // this node was given up again; it will come back here
		}
		for i, s := range some {
			s.mu.Lock()
			s.epoch = epochs[i]
			c := s.conn
			s.mu.Unlock()
			if epochs[i] != 0 {
				s.imported()
				continue
			}
			if c != nil {
				c.kick(kicked{code: packets.SessionTakenOver, reason: "the client has connected to another node meanwhile"})
			}
			s.end()
		}
	}
}

// imported has what the node's own store knew of a session, and the cluster did not, kept by the cluster.
func (s *session) imported() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.adopted == 0 && s.durable && !s.ended {
		s.setDurable(true)
		s.logWhole()
	}
}

// sessionEnded tells the cluster that a session is over.
func (n *clusterNode) sessionEnded(id string, epoch uint64) {
	if epoch != 0 {
		n.c.ProposeAsync(codec.AppendUint(codec.AppendString(command(cmdRelease), id), epoch), nil)
	}
}

// willDone tells the cluster that a will was published or is void.
func (n *clusterNode) willDone(id string, epoch uint64) {
	n.forgetWill(id, epoch)
	n.c.ProposeAsync(codec.AppendUint(codec.AppendString(command(cmdWillDone), id), epoch), nil)
}
