package shoal

import (
	"slices"

	"github.com/shoalmq/shoal/internal/codec"
	core "github.com/shoalmq/shoal/internal/session"
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
	by := readLateMaker(r)
	if r.Err() != nil {
		return r.Err()
	}
	a.mu.Lock()
	if o := a.owners[id]; o != nil && o.refuses(by) {
		a.mu.Unlock()
		return errNotYours
	}
	a.epoch++
	o := a.owners[id]
	if o == nil {
		o = &owner{}
	}
	// Readers hold no lock while they look at an owner, so it is replaced, not changed.
	next := &owner{maker: o.maker, node: node, home: o.home, epoch: a.epoch, settled: o.settled, since: o.since, earlier: o.earlier, due: o.due}
	if o.will != nil && (cleanStart || willDelay(o.will) == 0) {
		next.due = o.withDue() // the connection ends now, if it has not; another connection makes only a will void that waits
	}
	if len(will) > 0 {
		next.will = will
	}
	if o.home == "" { // else the session of somebody who is not known may be there
		next.maker = by
	}
	a.owners[id] = next
	if o.home == node { // else it cannot be sent anything before the session has moved
		if k := a.change(id); k != nil {
			k.claimed = next.epoch
		}
	}
	a.mu.Unlock()
	if o.adopter == a.n.self.Name && a.n.up.Load() && len(next.due) == len(o.due) {
		a.n.reclaimed(id, o.epoch)
	}
	if node != a.n.self.Name {
		a.n.fence(id, cleanStart)
	}
	return claimResult{epoch: next.epoch, home: o.home}
}

// moved notes that the session of a client is at the proposing node now: a new one, or the one that was at its last home, whose entries after a
// number are replaced by those that came to the new home since. It returns whether that is so: whether the claim is still the last one, its node has not
// been lost since, and the last home is the one that was asked; if that was lost meanwhile, its heir has the session. A session that is kept is not
// taken for one that is over.
func (a *agreed) moved(node string, r *codec.Reader) any {
	id, epoch, home := r.String(), r.Uint(), r.String()
	what, expiry, from := r.Byte(), r.Uint32(), r.Uint()
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
	if o == nil || o.epoch != epoch || o.node != node || o.home != home || (what == movedNone && a.kept[id] != nil) {
		a.mu.Unlock()
		return false
	}
	next := *o
	next.home, next.settled, next.earlier = node, epoch, nil
	a.owners[id] = &next
	if what != movedWhole || expiry == 0 {
		delete(a.kept, id)
		a.origins.publisherOver(id, a.after())
	}
	if expiry > 0 {
		k := a.keep(id)
		k.expiry, k.away, k.claimed = expiry, 0, epoch
		if what == movedWhole && k.noted > from { // the last home had these after it had handed the session over; the new one need not have had them yet
			k.noted = from
			a.origins.unagree(id, from)
		}
		if what == movedWhole && !a.sharesStore() { // else the entries, and their numbers, are in the store
			k.cut(from)
			for _, e := range tail {
				a.had(id, &e)
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

// release forgets a client whose session has ended at its home, unless it was claimed again, or by another node.
func (a *agreed) release(node, id string, epoch uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if o := a.owners[id]; o != nil && o.home == node && (o.node == "" || (o.node == node && o.epoch == epoch)) {
		delete(a.owners, id)
		delete(a.kept, id)
		a.origins.publisherOver(id, a.after())
		if o.will != nil {
			o = &owner{due: o.withDue()}
		}
		if len(o.due) > 0 {
			a.owners[id] = &owner{due: o.due}
		}
	}
}

// withDue returns the wills that are due, and the present one with them.
func (o *owner) withDue() []dueWill {
	d := dueWill{epoch: o.epoch, node: o.node, will: o.will}
	if o.adopter != "" {
		d.node, d.adopted = o.adopter, true
	}
	return append(slices.Clone(o.due), d)
}

// refuses reports whether there is a session of somebody else's than by.
func (o *owner) refuses(by maker) bool { return o.home != "" && !o.maker.admits(by) }

// empty reports whether there is nothing to be remembered of a client.
func (o *owner) empty() bool { return o.node == "" && o.home == "" && o.will == nil && len(o.due) == 0 }

// sees reports whether a node is the one to publish the will of a connection.
func (a *agreed) sees(node, id string, epoch uint64) bool {
	o := a.owner(id)
	switch {
	case o == nil:
		return false
	case o.epoch == epoch && o.will != nil && o.adopter == "":
		return o.node == node
	case o.epoch == epoch && o.will != nil:
		return o.adopter == node
	}
	return slices.ContainsFunc(o.due, func(d dueWill) bool { return d.epoch == epoch && d.node == node })
}

// hasWill reports whether a will is not done yet.
func (a *agreed) hasWill(id string, epoch uint64) bool {
	o := a.owner(id)
	return o != nil && (o.epoch == epoch && o.will != nil || slices.ContainsFunc(o.due, func(d dueWill) bool { return d.epoch == epoch }))
}

// willDone forgets a will that was published or became void.
func (a *agreed) willDone(id string, epoch uint64) {
	a.origins.over(id, exchangeKey{will: epoch}, a.after())
	a.mu.Lock()
	defer a.mu.Unlock()
	o := a.owners[id]
	if o == nil {
		return
	}
	next := *o
	if o.epoch == epoch {
		next.will, next.adopter = nil, ""
	}
	next.due = slices.DeleteFunc(slices.Clone(o.due), func(d dueWill) bool { return d.epoch == epoch })
	if next.empty() {
		delete(a.owners, id) // it was kept for the will alone
		return
	}
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
		a.owners[id] = &owner{node: node, home: node, epoch: a.epoch, settled: a.epoch, will: o.will, adopter: o.adopter, due: o.due}
		epochs = append(epochs, a.epoch)
	}
	return epochs
}

// lose takes the clients of a lost node from it. Sessions that are kept go to their heirs, the others are gone. Wills go to the heirs, too, and so do those
// the node had adopted itself. It returns the sessions that went to this node, and notes in e what each heir got. The caller holds a.mu.
func (a *agreed) lose(index uint64, node string, e *estate) []inherited {
	var mine []inherited
	for id, o := range a.owners {
		next := *o
		heir := e.heirOf(id)
		if i := slices.IndexFunc(o.due, func(d dueWill) bool { return d.node == node }); i >= 0 {
			next.due = slices.Clone(o.due)
			for ; i < len(next.due); i++ {
				if d := &next.due[i]; d.node == node {
					d.node, d.adopted = heir, true
				}
			}
		} else if o.node != node && o.home != node && o.adopter != node {
			continue
		}
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
			if k := a.change(id); k != nil {
				k.suspend()
				next.home = heir
				next.lostIn(index)
				e.give(heir, k)
				if heir == a.n.self.Name && a.n.up.Load() {
					mine = append(mine, inherited{id, k.share(), next, k.claimed != 0})
				}
			} else {
				a.origins.publisherOver(id, a.after())
			}
		}
		if next.empty() {
			delete(a.owners, id)
			continue
		}
		a.owners[id] = &next
	}
	return mine
}

// fence is what the session's home writes with to a store that all nodes share. It grows with every move, since those have epochs of their own, and
// with every loss of a home.
func (o *owner) fence() Fence { return Fence{Epoch: o.settled, Step: o.since} }

// after returns the moment at which the command that is being applied has been. It is called on Apply's goroutine.
func (a *agreed) after() uint64 { return momentAfter(a.now.Load() + 1) }

// owner returns who has a client, or nil.
func (a *agreed) owner(id string) *owner {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.owners[id]
}

// isHome reports whether the session of a client is at a node.
func (a *agreed) isHome(node, id string) bool {
	o := a.owner(id)
	return o != nil && o.home == node
}

// since returns the step in which the session of a client came to its home from a lost node, 0 if it did not.
func (a *agreed) since(id string) uint64 {
	if o := a.owner(id); o != nil {
		return o.since
	}
	return 0
}

// holds reports whether a node may still serve a client by a claim.
func (a *agreed) holds(node, id string, epoch uint64) bool {
	o := a.owner(id)
	return o != nil && o.epoch == epoch && o.node == node
}

func appendOwner(b []byte, id string, o *owner) []byte {
	b = codec.AppendString(b, id)
	b = codec.AppendString(b, o.node)
	b = codec.AppendString(b, o.home)
	b = codec.AppendUint(b, o.epoch)
	b = codec.AppendBytes(b, o.will)
	b = codec.AppendString(b, o.adopter)
	b = codec.AppendUint(codec.AppendUint(b, o.settled), o.since)
	b = codec.AppendUint(b, uint64(len(o.earlier)))
	for _, step := range o.earlier {
		b = codec.AppendUint(b, step)
	}
	b = codec.AppendUint(b, uint64(len(o.due)))
	for _, d := range o.due {
		b = codec.AppendString(codec.AppendUint(b, d.epoch), d.node)
		b = codec.AppendBool(codec.AppendBytes(b, d.will), d.adopted)
	}
	return o.maker.append(b)
}

func readOwner(r *codec.Reader) (id string, o *owner) {
	id = r.String()
	o = &owner{node: r.String(), home: r.String(), epoch: r.Uint(), will: append([]byte(nil), r.Bytes()...), adopter: r.String(), settled: r.Uint(), since: r.Uint()}
	if len(o.will) == 0 {
		o.will = nil
	}
	for range r.Count() {
		o.earlier = append(o.earlier, r.Uint())
	}
	for range r.Count() {
		o.due = append(o.due, dueWill{r.Uint(), r.String(), append([]byte(nil), r.Bytes()...), r.Bool()})
	}
	o.maker = readLateMaker(r)
	return id, o
}

// sessionEnded tells the cluster that a session is over. held is the epoch of the last claim by which it was served here, 0 for none: whoever has claimed the client
// since keeps it.
func (n *clusterNode) sessionEnded(id string, held uint64) {
	n.c.ProposeAsync(codec.AppendUint(codec.AppendString(command(cmdRelease), id), held), nil)
}

// willDone tells the cluster that a will was published or is void.
func (n *clusterNode) willDone(id string, epoch uint64) {
	n.forgetWill(willKey{id, epoch})
	n.lastWords.add()
	n.c.ProposeAsync(codec.AppendUint(codec.AppendString(command(cmdWillDone), id), epoch), func(any, error) { n.lastWords.done() })
}
