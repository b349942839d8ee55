package topics

import "slices"

// branch holds the children of a trie node, found by the first level of their labels.
type branch[V comparable] struct {
	plus *node[V] // its label begins with the level "+"
	hash *node[V] // its label is "#"
	few  []*node[V]
	many table[*node[V]] // in place of few, above maxFew
}

// Up to maxFew literal children are searched one by one. A table goes back to a list at minMany, well below, so that a
// child that comes and goes does not rebuild either each time.
const (
	maxFew  = 8
	minMany = 4
)

// firstLevel returns the first level of a label.
func firstLevel(label string) string { return label[:levelEnd(label, 0)] }

// find returns the child whose label begins with the same level as rest, or nil.
func (b *branch[V]) find(rest string) *node[V] {
	if b == nil {
		return nil
	}
	switch level := firstLevel(rest); level {
	case "#":
		return b.hash
	case "+":
		return b.plus
	default:
		return b.literal(level)
	}
}

// literal returns the child whose label begins with level, which is not a wildcard, or nil.
func (b *branch[V]) literal(level string) *node[V] {
	if b.many.m != nil {
		return b.many.m[level]
	}
	for _, n := range b.few {
		if hasLevels(n.label, level) {
			return n
		}
	}
	return nil
}

func (b *branch[V]) put(n *node[V]) {
	switch level := firstLevel(n.label); {
	case level == "#":
		b.hash = n
	case level == "+":
		b.plus = n
	case b.many.m != nil:
		b.many.put(level, n)
	case len(b.few) < maxFew:
		b.few = append(b.few, n)
	default:
		for _, c := range b.few {
			b.many.put(firstLevel(c.label), c)
		}
		b.many.put(level, n)
		b.few = nil
	}
}

// replace puts now where old is. The first levels of their labels are equal.
func (b *branch[V]) replace(old, now *node[V]) {
	switch level := firstLevel(now.label); {
	case old == b.plus:
		b.plus = now
	case b.many.m != nil:
		b.many.put(level, now) // which lets go of the old label's bytes
	default:
		b.few[slices.Index(b.few, old)] = now
	}
}

func (b *branch[V]) remove(n *node[V]) {
	switch {
	case n == b.hash:
		b.hash = nil
	case n == b.plus:
		b.plus = nil
	case b.many.m == nil:
		b.few = slices.Delete(b.few, slices.Index(b.few, n), slices.Index(b.few, n)+1)
	default:
		b.many.remove(firstLevel(n.label))
		if len(b.many.m) <= minMany {
			for _, c := range b.many.m {
				b.few = append(b.few, c)
			}
			b.many = table[*node[V]]{}
		}
	}
}

func (b *branch[V]) count() int {
	n := len(b.few) + len(b.many.m)
	if b.plus != nil {
		n++
	}
	if b.hash != nil {
		n++
	}
	return n
}

// only returns one child; which is not said, if there are several.
func (b *branch[V]) only() *node[V] {
	switch {
	case b.plus != nil:
		return b.plus
	case b.hash != nil:
		return b.hash
	case len(b.few) > 0:
		return b.few[0]
	}
	for _, n := range b.many.m {
		return n
	}
	return nil
}
