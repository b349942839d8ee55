package shoal

import (
	"sync"
	"time"
)

// recent remembers for rerouteTime what may come once more after the loss of a node. It may be used concurrently.
type recent[K comparable] struct {
	mu    sync.Mutex
	until map[K]time.Time
	order []K // the oldest first
}

// recentLimit bounds what is remembered: what is older than that many others is forgotten, and may come twice.
const recentLimit = 1 << 14

func (r *recent[K]) add(key K) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.until[key]; known {
		return
	}
	now := time.Now()
	for len(r.order) > 0 && (len(r.order) >= recentLimit || now.After(r.until[r.order[0]])) {
		delete(r.until, r.order[0])
		r.order = r.order[1:]
	}
	if r.until == nil {
		r.until = make(map[K]time.Time)
	}
	r.order = append(r.order, key)
	r.until[key] = now.Add(rerouteTime)
}

func (r *recent[K]) has(key K) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	until, known := r.until[key]
	return known && time.Now().Before(until)
}
