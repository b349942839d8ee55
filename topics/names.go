package topics

import (
	"sync"
)

// Names maps TopicNames to one value each and finds them by TopicFilter. Retained messages are kept in one.
//
// All methods may be called from any goroutine. None keeps a string it is given. The zero Names is empty and ready for
// use; a Names must not be copied. Names should be valid.
type Names[V any] struct {
	mu   sync.RWMutex // held for one search or change, never while a caller's function runs
	tree tree[V]
}

// NewNames returns an empty Names.
func NewNames[V any]() *Names[V] { return new(Names[V]) }

// Set lets name have the value v, and returns the value it had before, if any.
func (x *Names[V]) Set(name string, v V) (old V, replaced bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.tree.set(name, v)
}

// Delete removes name, and returns the value it had, if any.
func (x *Names[V]) Delete(name string) (old V, ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.tree.remove(name)
}

// Get returns the value of name, if it has one.
func (x *Names[V]) Get(name string) (v V, ok bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if it := x.tree.get(name); it != nil {
		return it.v, true
	}
	return v, false
}

// Len returns the number of names.
func (x *Names[V]) Len() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.tree.size
}

// Match calls fn for every name that filter matches, until fn returns false. filter must be valid and without
// "$share/{ShareName}/". A filter that begins with a wildcard matches no name that begins with '$' [MQTT-4.7.2-1]. A
// name comes before those below it; otherwise names come in the order of their levels' bytes.
//
// fn sees all names and values as they were at one moment during the call to Match, whatever is changed meanwhile. It
// is called without a lock and may call any method of x. It may keep name.
func (x *Names[V]) Match(filter string, fn func(name string, v V) bool) {
	if !HasWildcard(filter) {
		if it, ok := x.lookup(filter); ok {
			fn(it.name, it.v)
		}
		return
	}
	x.mu.Lock()
	root := x.tree.freeze()
	x.mu.Unlock()
	matchNames(root, filter, fn)
}

func (x *Names[V]) lookup(name string) (item[V], bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if it := x.tree.get(name); it != nil {
		return *it, true
	}
	return item[V]{}, false
}
