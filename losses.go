package shoal

import (
	"slices"

	"github.com/shoalmq/shoal/internal/codec"
)

// Who has what a node had each time it was lost, as all nodes agree. A message that was on its way to
// the node belongs to the loss that came after it was sent, and not to a later one: when it comes
// back, its sender may have heard that the node is back and was lost again.

// loss is one time that a node was lost.
type loss struct {
	nodes []string // its heirs, in order
	index uint64   // when, in the agreed order
	back  uint64   // when the node came back, 0 if it has not
}

func appendLoss(b []byte, node string, l *loss) []byte {
	b = codec.AppendUint(codec.AppendString(b, node), l.index)
	b = codec.AppendUint(b, uint64(len(l.nodes)))
	for _, name := range l.nodes {
		b = codec.AppendString(b, name)
	}
	return codec.AppendUint(b, l.back)
}

func readLoss(r *codec.Reader) (node string, l loss) {
	node, l.index = r.String(), r.Uint()
	for range r.Count() {
		l.nodes = append(l.nodes, r.String())
	}
	if r.More() { // not so before this was noted
		l.back = r.Uint()
	}
	return node, l
}

// noteLoss notes that a node was lost. The caller holds a.mu.
func (a *agreed) noteLoss(node string, l loss) {
	if a.isUp(node) { // it began anew at once
		l.back = l.index
	}
	losses := a.heirs[node]
	a.heirs[node] = append(slices.Clone(losses[max(0, len(losses)+1-earlierLimit):]), l)
	a.forgetOldHeirs()
}

// lastLoss returns when a node was lost the last time, 0 for never. The caller holds a.mu.
func (a *agreed) lastLoss(node string) uint64 {
	if losses := a.heirs[node]; len(losses) > 0 {
		return losses[len(losses)-1].index
	}
	return 0
}

// lossOf returns the loss that what was sent to a node has come back from, when its sender had begun
// to take a step. What leaves for the node while it is away was routed before. The caller holds a.mu.
func (a *agreed) lossOf(node string, sent uint64) (loss, bool) {
	losses := a.heirs[node]
	for _, l := range losses {
		if l.back == 0 || sent < l.back {
			return l, true
		}
	}
	if len(losses) == 0 {
		return loss{}, false
	}
	return losses[len(losses)-1], true // it left just when the node began anew
}

// indexOfLoss returns when that loss was, 0 if there was none.
func (a *agreed) indexOfLoss(node string, sent uint64) uint64 {
	a.mu.RLock()
	defer a.mu.RUnlock()
	l, _ := a.lossOf(node, sent)
	return l.index
}

// lossAfter returns the first loss of a node after a step. The caller holds a.mu.
func (a *agreed) lossAfter(node string, index uint64) (loss, bool) {
	for _, l := range a.heirs[node] {
		if l.index > index {
			return l, true
		}
	}
	return loss{}, false
}

// heirsOf returns the nodes that have the sessions now to which a message was on its way that was
// sent to a lost node, when its sender had begun to take a step; in order, and with the step in which
// they were inherited first. They have gone further with each heir that was lost after it had them. If
// one of those has no heir that is there, nobody can say who has everything: there are none.
func (a *agreed) heirsOf(lost string, sent uint64) (nodes []string, index uint64) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	l, known := a.lossOf(lost, sent)
	if !known || !a.findHeirs(l, &nodes) {
		return nil, 0
	}
	slices.Sort(nodes)
	return slices.Compact(nodes), l.index
}

// findHeirs is called with a.mu held. The steps grow along a chain, so that it ends.
func (a *agreed) findHeirs(l loss, nodes *[]string) bool {
	for _, name := range l.nodes {
		next, lostToo := a.lossAfter(name, l.index)
		switch {
		case lostToo:
			if !a.findHeirs(next, nodes) {
				return false
			}
		case !a.isUp(name):
			return false
		default:
			*nodes = append(*nodes, name)
		}
	}
	return true
}

// lostHeirsOf returns those heirs, and theirs, that were lost in turn; and when the node itself was
// lost the last time.
func (a *agreed) lostHeirsOf(lost string, sent uint64) (index uint64, names []string) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	var find func(l loss)
	find = func(l loss) {
		for _, name := range l.nodes {
			if next, lostToo := a.lossAfter(name, l.index); lostToo && !slices.Contains(names, name) {
				names = append(names, name)
				find(next)
			}
		}
	}
	if l, known := a.lossOf(lost, sent); known {
		find(l)
	}
	return a.lastLoss(lost), names
}

// isLostSince reports whether a node that was lost in a step has not come back since.
func (a *agreed) isLostSince(node string, index uint64) bool {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return !a.isUp(node) && a.lastLoss(node) == index
}

// heirsKept is of how many lost nodes it is remembered who their heirs are, besides those that have
// come back: of those that were lost last. It is many more than may be lost while a message is on its
// way to one of them. Nodes that are replaced have ever new names.
const heirsKept = 256

// forgetOldHeirs keeps the heirs of the nodes that were lost last. All nodes come to the same. The
// caller holds a.mu.
func (a *agreed) forgetOldHeirs() {
	for {
		oldest, gone := "", 0
		for name := range a.heirs {
			if a.isUp(name) {
				continue
			}
			if gone++; oldest == "" || a.lastLoss(name) < a.lastLoss(oldest) {
				oldest = name
			}
		}
		if gone <= heirsKept {
			return
		}
		delete(a.heirs, oldest)
	}
}

// isForgotten reports whether a node does not take part, and was lost so long ago that nobody knows
// of it any more.
func (a *agreed) isForgotten(node string) bool {
	a.mu.RLock()
	defer a.mu.RUnlock()
	_, known := a.heirs[node]
	return !known && !a.isUp(node) && len(a.nodes[node]) == 0 && node != a.common.restorer
}
