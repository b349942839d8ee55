package shoal

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"

	"github.com/shoalmq/shoal/internal/codec"
	"github.com/shoalmq/shoal/packets"
)

// Messages from node to node. A message goes once to each node that has a subscriber, with the names of the shared groups that
// this node has picked it for; there it is matched again. Everything that one batch of a client's packets sends to a node
// leaves in one Forward, and its acceptance completes all of them.

// route hands the message in sc.r to the other nodes that have subscribers, and to one member of each shared group that matches,
// wherever it is. It reports whether there was anybody.
func (n *clusterNode) route(sc *scratch) (matched bool) {
	a := &n.state
	sc.remote = a.routes.Load().AppendMatches(sc.remote[:0], sc.r.p.TopicName)
	sc.sends = sc.sends[:0]
	var groups []string
	held := uint64(0) // the first step by which sessions are being adopted that match
	for _, rt := range sc.remote {
		if rt.held() {
			if held == 0 || rt.step < held {
				held = rt.step
			}
		} else if rt.group == "" {
			sc.sendTo(rt.peer)
		} else if !slices.Contains(groups, rt.group) {
			groups = append(groups, rt.group)
		}
	}
	for _, t := range sc.matches {
		if g, ok := t.(*group); ok && !slices.Contains(groups, g.name) {
			groups = append(groups, g.name)
		}
	}
	for _, name := range groups {
		if slices.Contains(sc.r.had, name) {
			matched = true
			continue
		}
		matched = n.toGroup(sc, name) || matched
	}
	for i := range sc.sends {
		matched = true
		sc.sends[i].peer.send(sc, sc.sends[i].groups)
	}
	if held != 0 && sc.r.qos() > 0 {
		matched = true
		a := sc.r.acceptance()
		a.add()
		n.adoptions.hold(heldMessage{msg: sc.r.message(), lost: held, wait: a})
	}
	return matched
}

// newBatch begins a batch: its version, and, when it leaves, the last step of the agreed order that its sender has begun to take.
func newBatch() []byte { return codec.AppendFixed64(newRecord(), 0) }

// stampBatch puts the step into a batch; its version is one byte.
func stampBatch(b []byte, step uint64) { binary.BigEndian.PutUint64(b[1:], step) }

// stepOfBatch returns the step that stampBatch has put there.
func stepOfBatch(b []byte) uint64 { return binary.BigEndian.Uint64(b[1:]) }

// send is one node that the message goes to, and for which groups.
type send struct {
	peer   *peerQueue
	groups []string
}

func (sc *scratch) sendTo(p *peerQueue) *send {
	for i := range sc.sends {
		if sc.sends[i].peer == p {
			return &sc.sends[i]
		}
	}
	sc.sends = append(sc.sends, send{peer: p})
	return &sc.sends[len(sc.sends)-1]
}

const (
	forwardProperties = 1 << 3
	forwardExpires    = 1 << 4
	forwardGroups     = 1 << 5
	forwardGroupsOnly = 1 << 6 // everybody but the groups has had it
	forwardInherited  = 1 << 7 // for sessions alone that were adopted from a lost node
	forwardOrigin     = 1 << 8
	forwardDoubtful   = 1 << 9
)

// send appends the message to what is going to the node.
func (p *peerQueue) send(sc *scratch, groups []string) {
	r := &sc.r
	qos := r.qos()
	p.mu.Lock()
	if o := p.batch; o != nil && o.patient != r.groupsOnly && p.holds == 0 { // nobody else waits for as long as the store of that node may fail
		p.batch = nil
		p.hand(o)
	}
	if qos == 0 && p.outstanding > peerDropQoS0 {
		p.mu.Unlock()
		p.n.b.drop(DroppedEvent{TopicName: strings.Clone(r.p.TopicName), Reason: DropPeerQueueFull})
		return
	}
	first := p.batch == nil
	if first {
		p.batch = &outgoing{buf: newBatch(), patient: r.groupsOnly}
	}
	o := p.batch
	before := len(o.buf)
	if first {
		before = 0
	}
	o.buf = appendForward(o.buf, r, groups)
	p.count(len(o.buf) - before)
	if qos > 0 {
		a := r.acceptance()
		a.add()
		o.waits = append(o.waits, a)
		if len(groups) > 0 {
			o.picks = append(o.picks, pick{groups: slices.Clone(groups), msg: r.message(), wait: a, origin: r.origin})
		}
	}
	p.mu.Unlock()
	p.n.b.metrics.forwarded.Add(1)
	if first || !slices.Contains(sc.peers, p) {
		sc.peers = append(sc.peers, p)
	}
}

func appendForward(b []byte, r *routing, groups []string) []byte {
	p := &r.p.Properties
	flags := uint64(r.qos())
	if r.p.Retain {
		flags |= flagRetain
	}
	if r.origin != nil {
		flags |= forwardOrigin
	}
	has := p.PayloadFormatIndicator.Set || p.ContentType.Set || p.ResponseTopic.Set || p.CorrelationData != nil || len(p.UserProperties) > 0
	if has {
		flags |= forwardProperties
	}
	if r.expires != 0 {
		flags |= forwardExpires
	}
	if len(groups) > 0 {
		flags |= forwardGroups
	}
	if r.groupsOnly {
		flags |= forwardGroupsOnly
	}
	if r.inherited != 0 {
		flags |= forwardInherited
	}
	if r.doubtful {
		flags |= forwardDoubtful
	}
	b = append(codec.AppendUint(b, flags), byte(r.durability))
	if r.inherited != 0 {
		b = codec.AppendUint(codec.AppendUint(b, r.inherited), r.sent)
	}
	b = codec.AppendUint(b, r.id.Origin)
	b = codec.AppendUint(b, r.id.Number)
	b = codec.AppendString(b, r.p.TopicName)
	b = codec.AppendString(b, r.publisher)
	if r.expires != 0 {
		b = codec.AppendUint(b, uint64(r.expires))
	}
	if r.origin != nil {
		b = appendOrigin(b, r.origin)
	}
	if has {
		b = appendProperties(b, p)
	}
	if len(groups) > 0 {
		b = codec.AppendUint(b, uint64(len(groups)))
		for _, g := range groups {
			b = codec.AppendString(b, g)
		}
	}
	return codec.AppendBytes(b, r.p.Payload)
}

// retain proposes a retained message. Its publisher is answered when every node that serves has it.
func (n *clusterNode) retain(r *routing) {
	m := r.message()
	cmd := appendMessage(command(cmdRetain), m)
	log := n.b.journal.replication
	log.reserve(len(cmd)) // whoever publishes more than the log takes is not read from for a while; see admit
	if r.qos() == 0 {
		n.c.ProposeAsync(cmd, func(_ any, err error) {
			log.giveBack(len(cmd))
			if err != nil && !errors.Is(err, ErrResultUnknown) {
				n.b.drop(DroppedEvent{ClientID: m.Publisher, TopicName: m.TopicName, Reason: DropNotServing})
			}
		})
		return
	}
	a := r.acceptance()
	a.add()
	propose := n.c.ProposeAsync
	if r.durability == DurabilityFsync {
		propose = n.c.ProposeStable
	}
	propose(cmd, func(result any, err error) {
		log.giveBack(len(cmd))
		if err != nil && !errors.Is(err, ErrResultUnknown) {
			a.finish(packets.ImplementationSpecificError)
			return
		}
		n.barriers.add(func(err error) {
			if err != nil {
				a.finish(packets.ImplementationSpecificError)
				return
			}
			if n.b.journal.common != nil {
				index, _ := result.(uint64)
				n.awaitKept(a, index)
				return
			}
			a.finish(packets.Success)
		})
	})
}
