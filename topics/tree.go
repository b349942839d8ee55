package topics

import (
	"slices"
	"strings"
)

// tree is a B-tree of names in the order of levels. freeze gives a view of it that later changes leave alone: they
// copy the pages they touch that are as old as the view, and change the others in place.
type tree[V any] struct {
	root  *page[V] // nil: empty
	size  int
	epoch uint64 // pages of another epoch may be seen by a view
}

type item[V any] struct {
	name string
	v    V
}

// page is a node of the tree.
type page[V any] struct {
	epoch uint64
	items []item[V]
	below []*page[V] // nil in the lowest pages, else len(items)+1
}

// A page other than the root has minItems to maxItems items.
const (
	maxItems = 31
	minItems = maxItems / 2
)

// freeze returns the root of what is in the tree now. It may be read without a lock, for ever.
func (t *tree[V]) freeze() *page[V] {
	t.epoch++
	return t.root
}

func (t *tree[V]) get(name string) *item[V] {
	for p := t.root; p != nil; {
		i, found := search(p, name)
		switch {
		case found:
			return &p.items[i]
		case p.below == nil:
			return nil
		}
		p = p.below[i]
	}
	return nil
}

func (t *tree[V]) set(name string, v V) (old V, replaced bool) {
	if t.root == nil {
		t.root = &page[V]{epoch: t.epoch}
	}
	t.root = t.own(t.root)
	if len(t.root.items) == maxItems {
		t.root = &page[V]{epoch: t.epoch, below: []*page[V]{t.root}}
		t.splitBelow(t.root, 0)
	}
	p := t.root // owned and not full
	for {
		i, found := search(p, name)
		if !found && p.below != nil && len(p.below[i].items) == maxItems {
			t.splitBelow(p, i)
			i, found = search(p, name)
		}
		switch {
		case found:
			old, p.items[i].v = p.items[i].v, v
			return old, true
		case p.below == nil:
			p.items = slices.Insert(p.items, i, item[V]{strings.Clone(name), v})
			t.size++
			return old, false
		}
		p = t.ownBelow(p, i)
	}
}

func (t *tree[V]) remove(name string) (old V, ok bool) {
	it := t.get(name) // so that a name that is not there costs no copying
	if it == nil {
		return old, false
	}
	old = it.v
	t.root = t.own(t.root)
	t.removeFrom(t.root, func(p *page[V]) (int, bool) { return search(p, name) })
	t.size--
	if len(t.root.items) == 0 {
		if t.root.below == nil {
			t.root = nil
		} else {
			t.root = t.root.below[0]
		}
	}
	return old, true
}

// removeFrom removes one item at or below p and returns it. find says where to go in a page and whether the item is
// there. p is owned and has an item to spare, or is the root.
func (t *tree[V]) removeFrom(p *page[V], find func(*page[V]) (int, bool)) item[V] {
	i, found := find(p)
	if p.below == nil {
		it := p.items[i]
		p.items = slices.Delete(p.items, i, i+1)
		return it
	}
	if len(p.below[i].items) <= minItems {
		t.feedBelow(p, i)
		return t.removeFrom(p, find) // things have moved
	}
	child := t.ownBelow(p, i)
	if !found {
		return t.removeFrom(child, find)
	}
	it := p.items[i]
	p.items[i] = t.removeFrom(child, lastOf) // the one before it takes its place
	return it
}

// lastOf leads to the last item at or below p.
func lastOf[V any](p *page[V]) (int, bool) {
	if p.below == nil {
		return len(p.items) - 1, true
	}
	return len(p.below) - 1, false
}

// feedBelow gives child i of p an item more, from a neighbour or by joining it with one.
func (t *tree[V]) feedBelow(p *page[V], i int) {
	switch {
	case i > 0 && len(p.below[i-1].items) > minItems:
		from, to := t.ownBelow(p, i-1), t.ownBelow(p, i)
		to.items = slices.Insert(to.items, 0, p.items[i-1])
		p.items[i-1] = pop(&from.items)
		if to.below != nil {
			to.below = slices.Insert(to.below, 0, pop(&from.below))
		}
	case i < len(p.items) && len(p.below[i+1].items) > minItems:
		from, to := t.ownBelow(p, i+1), t.ownBelow(p, i)
		to.items = append(to.items, p.items[i])
		p.items[i] = from.items[0]
		from.items = slices.Delete(from.items, 0, 1)
		if to.below != nil {
			to.below = append(to.below, from.below[0])
			from.below = slices.Delete(from.below, 0, 1)
		}
	default:
		i = min(i, len(p.items)-1)
		to, from := t.ownBelow(p, i), p.below[i+1]
		to.items = append(append(to.items, p.items[i]), from.items...)
		to.below = append(to.below, from.below...)
		p.items = slices.Delete(p.items, i, i+1)
		p.below = slices.Delete(p.below, i+1, i+2)
	}
}

// splitBelow divides the full child i of p, which is owned and not full.
func (t *tree[V]) splitBelow(p *page[V], i int) {
	left := t.ownBelow(p, i)
	middle := left.items[minItems]
	right := &page[V]{epoch: t.epoch, items: slices.Clone(left.items[minItems+1:])}
	clear(left.items[minItems:])
	left.items = left.items[:minItems]
	if left.below != nil {
		right.below = slices.Clone(left.below[minItems+1:])
		clear(left.below[minItems+1:])
		left.below = left.below[:minItems+1]
	}
	p.items = slices.Insert(p.items, i, middle)
	p.below = slices.Insert(p.below, i+1, right)
}

// own returns p, or a copy if a view may see p.
func (t *tree[V]) own(p *page[V]) *page[V] {
	if p.epoch == t.epoch {
		return p
	}
	return &page[V]{epoch: t.epoch, items: slices.Clone(p.items), below: slices.Clone(p.below)}
}

// ownBelow makes child i of p, which is owned, owned too.
func (t *tree[V]) ownBelow(p *page[V], i int) *page[V] {
	p.below[i] = t.own(p.below[i])
	return p.below[i]
}

func pop[T any](s *[]T) T {
	top := len(*s) - 1
	v := (*s)[top]
	*s = slices.Delete(*s, top, top+1)
	return v
}

// search returns the place of the first item of p that is not before name, and whether it is name.
func search[V any, T string | []byte](p *page[V], name T) (i int, found bool) {
	low, high := 0, len(p.items)
	for low < high {
		mid := int(uint(low+high) >> 1)
		switch c := compareLevels(p.items[mid].name, name); {
		case c == 0:
			return mid, true
		case c < 0:
			low = mid + 1
		default:
			high = mid
		}
	}
	return low, false
}
