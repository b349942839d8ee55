package shoal

import (
	"math"
	"sync"
	"time"
)

// sysLoads keeps the moving averages of the $SYS tree: per minute, over 1, 5 and 15 minutes, each fading exponentially as the load averages of
// Unix do. The goroutine of the tree updates them, any may read them.
type sysLoads struct {
	mu    sync.Mutex
	loads [len(sysLoadNames)]sysLoad
}

type sysLoad struct {
	total    uint64     // at the last update
	averages [3]float64 // per minute
}

// sysLoadNames are mosquitto's; counts returns the counters in their order.
var sysLoadNames = [...]string{
	"messages/received", "messages/sent", "publish/received", "publish/sent", "publish/dropped", "bytes/received", "bytes/sent",
	"sockets", "connections",
}

// sysLoadSpans are the times over which is averaged.
var sysLoadSpans = [...]struct {
	name    string
	minutes float64
}{{"1min", 1}, {"5min", 5}, {"15min", 15}}

func (m *Metrics) loadCounts() [len(sysLoadNames)]uint64 {
	var dropped uint64
	for _, n := range m.Dropped {
		dropped += n
	}
	return [...]uint64{
		m.PacketsReceived, m.PacketsSent, m.MessagesReceived, m.PublishesSent, dropped, m.BytesReceived, m.BytesSent,
		m.ConnectionsAccepted, m.ClientsAccepted,
	}
}

// update takes the counters in, interval after the last time.
func (l *sysLoads) update(m Metrics, interval time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, total := range m.loadCounts() {
		load := &l.loads[i]
		now := float64(total-load.total) / interval.Minutes()
		load.total = total
		for j, span := range sysLoadSpans {
			fade := math.Exp(-interval.Minutes() / span.minutes)
			load.averages[j] = now + fade*(load.averages[j]-now)
		}
	}
}

// each calls fn for every average.
func (l *sysLoads) each(fn func(name string, perMinute float64)) {
	l.mu.Lock()
	loads := l.loads
	l.mu.Unlock()
	for i, load := range loads {
		for j, span := range sysLoadSpans {
			fn(sysLoadNames[i]+"/"+span.name, load.averages[j])
		}
	}
}
