package source

import (
	"container/list"
	"sync"
	"time"
)

// cache keeps answers up to a number, dropping those that were not used for the longest time.
type cache[V any] struct {
	most int

	mu      sync.Mutex
	entries map[string]*list.Element
	used    list.List // of *entry[V], the last used first
	evicted uint64
}

type entry[V any] struct {
	key, name string // whom it is about, for drop
	value     V
	until     time.Time // after that it is stale
	gone      time.Time // after that it is no more
}

func newCache[V any](most int) *cache[V] {
	return &cache[V]{most: most, entries: make(map[string]*list.Element)}
}

// get returns an answer; fresh says that it may be used without asking the source.
func (c *cache[V]) get(key string, now time.Time) (v V, found, fresh bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	el := c.entries[key]
	if el == nil {
		return v, false, false
	}
	e := el.Value.(*entry[V])
	if now.After(e.gone) {
		c.remove(el)
		return v, false, false
	}
	c.used.MoveToFront(el)
	return e.value, true, !now.After(e.until)
}

// put keeps an answer for a time, and as a stale one for another.
func (c *cache[V]) put(key, name string, v V, now time.Time, ttl, stale time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if el := c.entries[key]; el != nil {
		c.remove(el)
	}
	e := &entry[V]{key: key, name: name, value: v, until: now.Add(ttl), gone: now.Add(ttl + stale)}
	c.entries[key] = c.used.PushFront(e)
	for len(c.entries) > c.most {
		c.remove(c.used.Back())
		c.evicted++
	}
}

func (c *cache[V]) remove(el *list.Element) {
	delete(c.entries, c.used.Remove(el).(*entry[V]).key)
}

// drop forgets all answers about a name, or all.
func (c *cache[V]) drop(name string, all bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for el := c.used.Front(); el != nil; {
		next := el.Next()
		if all || el.Value.(*entry[V]).name == name {
			c.remove(el)
		}
		el = next
	}
}

func (c *cache[V]) stats() (entries int, evicted uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.entries), c.evicted
}
