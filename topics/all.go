package topics

// pair is one value under one filter.
type pair[V comparable] struct {
	filter string
	v      V
}

// allBatch is how many wildcard filters All copies under the lock at a time.
const allBatch = 256

// All calls fn for every value of every filter, in no particular order, until fn returns false. fn is called without a
// lock: it may call any method of x. It may keep filter.
//
// All does not see x at one moment. What is there during the whole call is passed at least once; it may be passed twice
// if other filters are removed meanwhile. What is added or removed during the call is passed or not.
func (x *Index[V]) All(fn func(filter string, v V) bool) {
	var buf []pair[V]
	for i := range x.exact {
		buf = x.exact[i].appendPairs(buf[:0])
		if !passPairs(buf, fn) {
			return
		}
	}
	// From the last to the first: a removal moves the last filter into the gap, which is then still ahead or passed
	// already, and never skipped.
	for at := int(x.wild.count.Load()); at > 0; {
		buf, at = x.wild.appendPairs(buf[:0], at)
		if !passPairs(buf, fn) {
			return
		}
	}
}

func passPairs[V comparable](pairs []pair[V], fn func(filter string, v V) bool) bool {
	for _, p := range pairs {
		if !fn(p.filter, p.v) {
			return false
		}
	}
	return true
}

func (s *shard[V]) appendPairs(buf []pair[V]) []pair[V] {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for filter, set := range s.filters.m {
		buf = set.appendPairs(buf, filter)
	}
	return buf
}

// appendPairs appends the pairs of filters before the place at, and returns the place before which the next call goes on.
func (t *trie[V]) appendPairs(buf []pair[V], at int) ([]pair[V], int) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	at = min(at, len(t.ends))
	for n := 0; at > 0 && n < allBatch; n++ {
		at--
		buf = t.ends[at].values.appendPairs(buf, t.ends[at].filter())
	}
	return buf, at
}

func (s *valueSet[V]) appendPairs(buf []pair[V], filter string) []pair[V] {
	if s.more == nil {
		return append(buf, pair[V]{filter, s.one})
	}
	for _, v := range s.more.list {
		buf = append(buf, pair[V]{filter, v})
	}
	return buf
}
