package topics

import (
	"strings"
	"sync"
)

// shardCount spreads the locks of exact filters. It is a power of two.
const shardCount = 64

// shard holds some of the filters without a wildcard.
type shard[V comparable] struct {
	mu      sync.RWMutex
	filters table[*valueSet[V]]
	_       [24]byte // a shard has a cache line of its own, since every match writes to its lock
}

// add reports whether v is new, and whether it is the filter's first.
func (s *shard[V]) add(filter string, v V) (first, added bool) {
	if set := s.filters.m[filter]; set != nil {
		return false, set.add(v)
	}
	s.filters.put(strings.Clone(filter), &valueSet[V]{one: v})
	return true, true
}

func (s *shard[V]) remove(filter string, v V) (last, found bool) {
	set := s.filters.m[filter]
	if set == nil {
		return false, false
	}
	last, found = set.remove(v)
	if last {
		s.filters.remove(filter)
	}
	return last, found
}

func (s *shard[V]) replace(filter string, old, new V) (ok, smaller bool) {
	set := s.filters.m[filter]
	if set == nil {
		return false, false
	}
	return set.replace(old, new)
}

// shardOf picks a shard. Whoever chooses names that fall on one shard gains a busier lock, no longer search: the table
// behind it has its own, seeded hash.
func shardOf(s string) uint64 {
	const prime = 0x9E3779B97F4A7C15
	h := uint64(len(s))
	for ; len(s) >= 8; s = s[8:] {
		h = (h ^ load64(s, 0)) * prime
		h ^= h >> 32
	}
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * prime
	}
	return h >> 32 % shardCount
}
