package clustertest

import (
	"sync/atomic"
	"time"
)

// SetClock sets a node's clock on the wall off from the test's by so much; 0 sets it right. What the node measures without a look at the wall, as all timeouts are,
// goes on as before.
func (c *Cluster) SetClock(i int, offset time.Duration) { c.nodes[i].wall.offset.Store(int64(offset)) }

// wall is a node's clock.
type wall struct{ offset atomic.Int64 }

func (w *wall) now() time.Time { return time.Now().Add(time.Duration(w.offset.Load())).Round(0) }
