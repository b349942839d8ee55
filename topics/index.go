package topics

import (
	"sync/atomic"
)

// Index maps TopicFilters to sets of values and finds the values of all filters that match a TopicName. Subscriptions
// and routes are kept in one.
//
// Filters are given without "$share/{ShareName}/" and should be valid: an invalid one is kept like any other and
// matches no valid name. A value must be equal to itself (no NaN). All methods may be called from any goroutine. None keeps
// a string it is given. The zero Index is empty and ready for use; an Index must not be copied.
//
// Changes to one filter are atomic: a match sees all of Add, Remove or Replace or nothing. A match sees every filter as
// it is at some moment during the call, not all of them at the same moment. What is there during the whole call is
// always found.
type Index[V comparable] struct {
	version atomic.Uint64
	filters atomic.Int64
	values  atomic.Int64
	exact   [shardCount]shard[V]
	wild    trie[V]
}

// NewIndex returns an empty Index.
func NewIndex[V comparable]() *Index[V] { return new(Index[V]) }

// Add adds v to the values of filter. first reports that filter had none before. Adding a value that is there changes
// nothing. Add is O(1) in the number of values.
func (x *Index[V]) Add(filter string, v V) (first bool) {
	var added bool
	if isWild(filter) {
		x.wild.mu.Lock()
		defer x.wild.mu.Unlock()
		first, added = x.wild.add(filter, v)
	} else {
		s := x.shard(filter)
		s.mu.Lock()
		defer s.mu.Unlock()
		first, added = s.add(filter, v)
	}
	if first {
		x.filters.Add(1)
	}
	if added {
		x.values.Add(1)
		x.version.Add(1)
	}
	return first
}

// Remove removes v from the values of filter. found reports that it was there, last that filter has no value now.
// Remove is O(1) in the number of values, and leaves nothing behind of a filter without values.
func (x *Index[V]) Remove(filter string, v V) (last, found bool) {
	if isWild(filter) {
		x.wild.mu.Lock()
		defer x.wild.mu.Unlock()
		last, found = x.wild.remove(filter, v)
	} else {
		s := x.shard(filter)
		s.mu.Lock()
		defer s.mu.Unlock()
		last, found = s.remove(filter, v)
	}
	if last {
		x.filters.Add(-1)
	}
	if found {
		x.values.Add(-1)
		x.version.Add(1)
	}
	return last, found
}

// Replace puts new in the place of old among the values of filter and reports whether old was there; if not, nothing
// changes. No match sees both or neither. If new was there already, filter has one value less.
func (x *Index[V]) Replace(filter string, old, new V) bool {
	var ok, smaller bool
	if isWild(filter) {
		x.wild.mu.Lock()
		defer x.wild.mu.Unlock()
		ok, smaller = x.wild.replace(filter, old, new)
	} else {
		s := x.shard(filter)
		s.mu.Lock()
		defer s.mu.Unlock()
		ok, smaller = s.replace(filter, old, new)
	}
	if smaller {
		x.values.Add(-1)
	}
	if ok && old != new {
		x.version.Add(1)
	}
	return ok
}

// AppendMatches appends the values of every filter that matches name to dst, in no particular order, and returns the
// result. A value of two matching filters appears twice. name must be a valid TopicName; it is not kept, so it may share
// the bytes of a buffer that is used again. Nothing is allocated but what dst lacks.
func (x *Index[V]) AppendMatches(dst []V, name string) []V {
	s := x.shard(name)
	s.mu.RLock()
	if set := s.filters.m[name]; set != nil {
		dst = set.appendTo(dst)
	}
	s.mu.RUnlock()
	if x.wild.count.Load() == 0 {
		return dst
	}
	x.wild.mu.RLock()
	dst = x.wild.appendMatches(dst, name)
	x.wild.mu.RUnlock()
	return dst
}

// Filters returns the number of filters that have a value.
func (x *Index[V]) Filters() int { return int(x.filters.Load()) }

// Len returns the number of values, counted once for each filter they are under.
func (x *Index[V]) Len() int { return int(x.values.Load()) }

// Version changes with every change, before the change's call returns. What AppendMatches returned is still right as
// long as Version returns what it returned before that AppendMatches was called. It costs one atomic load.
func (x *Index[V]) Version() uint64 { return x.version.Load() }

func (x *Index[V]) shard(s string) *shard[V] { return &x.exact[shardOf(s)] }

// isWild reports whether filter belongs in the trie. A filter with a misplaced wildcard does not: it can match nothing,
// and the trie need not know what it means.
func isWild(filter string) bool { return HasWildcard(filter) && validateWildcards(filter) == nil }
