package shoal

import "sync/atomic"

// A moment is a place in the agreed order, and finer than that: it orders what one node does between two commands, too.
// The upper bits count the commands that had been applied, as all nodes count them; the lower ones tell apart what has
// happened on one node since. Moments of one node are all different, and grow. A moment of another node is greater if that
// node had applied more commands.
//
// The exchanges of a publisher are told apart by the moments in which they began, and what ends an exchange says the moment
// up to which it does. So the end of an exchange, which may be agreed long after it was said, never ends the next one that
// uses the same packet identifier.
type moments struct {
	applied *atomic.Uint64 // commands
	last    atomic.Uint64
}

// momentShift is how many bits tell moments of one node between two commands apart.
const momentShift = 20

// momentAfter returns the least moment of a node that has applied so many commands.
func momentAfter(applied uint64) uint64 { return applied << momentShift }

// next returns a moment that is greater than all before.
func (m *moments) next() uint64 {
	for {
		last := m.last.Load()
		now := max(last+1, momentAfter(m.applied.Load()))
		if m.last.CompareAndSwap(last, now) {
			return now
		}
	}
}
