package topics

// valueSet is a set that is never empty: one value, or a bag of more. Most filters have one value, and that takes no
// memory of its own.
type valueSet[V comparable] struct {
	one  V // while more is nil
	more *valueBag[V]
}

func (s *valueSet[V]) add(v V) bool {
	if s.more != nil {
		return s.more.add(v)
	}
	if s.one == v {
		return false
	}
	s.more = &valueBag[V]{list: []V{s.one, v}}
	var zero V
	s.one = zero
	return true
}

// remove reports with empty that v was the only value. It is left in place: the caller drops the set.
func (s *valueSet[V]) remove(v V) (empty, found bool) {
	if s.more == nil {
		return s.one == v, s.one == v
	}
	if !s.more.remove(v) {
		return false, false
	}
	if len(s.more.list) == 1 {
		s.one, s.more = s.more.list[0], nil
	}
	return false, true
}

// replace reports with ok whether old was there; if new was there too, the set has become one smaller.
func (s *valueSet[V]) replace(old, new V) (ok, smaller bool) {
	if s.more == nil {
		if s.one != old {
			return false, false
		}
		s.one = new
		return true, false
	}
	if s.more.find(old) < 0 {
		return false, false
	}
	if old == new {
		return true, false
	}
	s.remove(old)
	return true, !s.add(new)
}

func (s *valueSet[V]) appendTo(dst []V) []V {
	if s.more == nil {
		return append(dst, s.one)
	}
	return append(dst, s.more.list...)
}

// A bag searches its list up to bagLinear values and a table of positions above.
const bagLinear = 16

// valueBag is a set as a list, so that it is copied out in one piece. Adding and removing are O(1).
type valueBag[V comparable] struct {
	list []V
	pos  map[V]int // nil while the list is short
}

func (b *valueBag[V]) find(v V) int {
	if b.pos != nil {
		if i, ok := b.pos[v]; ok {
			return i
		}
		return -1
	}
	for i := range b.list {
		if b.list[i] == v {
			return i
		}
	}
	return -1
}

func (b *valueBag[V]) add(v V) bool {
	if b.find(v) >= 0 {
		return false
	}
	b.list = append(b.list, v)
	switch {
	case b.pos != nil:
		b.pos[v] = len(b.list) - 1
	case len(b.list) > bagLinear:
		b.rebuild()
	}
	return true
}

func (b *valueBag[V]) remove(v V) bool {
	i := b.find(v)
	if i < 0 {
		return false
	}
	end := len(b.list) - 1
	moved := b.list[end]
	b.list[i] = moved
	clear(b.list[end:]) // or the array would keep the value alive
	b.list = b.list[:end]
	if b.pos != nil {
		b.pos[moved] = i
		delete(b.pos, v) // after the line above: v may be the one that moved
	}
	if end >= bagLinear/2 && end < cap(b.list)/4 || end == bagLinear/2 {
		b.rebuild()
	}
	return true
}

// rebuild gives the list and the table the size of what is in them: a Go map never shrinks.
func (b *valueBag[V]) rebuild() {
	list := make([]V, len(b.list), len(b.list)+len(b.list)/4+1)
	copy(list, b.list)
	b.list, b.pos = list, nil
	if len(list) <= bagLinear {
		return
	}
	b.pos = make(map[V]int, cap(list))
	for i, v := range list {
		b.pos[v] = i
	}
}
