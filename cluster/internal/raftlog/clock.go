package raftlog

import (
	"context"
	"encoding/binary"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shoalmq/shoal/cluster/internal/nodecodec"
)

// clock is the time that the nodes of a cluster agree on: the same on all of them, but for the time that a message takes, at the pace of their monotonic
// clocks. A node looks at the clock on its wall once, when it starts; whoever sets one afterwards changes nothing.
//
// Each node begins with a time of its own, and takes over one that is older: from the leader, which tells it with each lease, and a leader from
// whoever asks it for a lease. So the time outlives those who brought it, and a node that starts with a wrong clock has the right time before it serves.
type clock struct {
	base    time.Time    // with a monotonic reading
	offset  atomic.Int64 // the time at base, in Unix nanoseconds
	settled atomic.Bool  // another node's time is known, or there is none

	mu    sync.Mutex // held while the clock is set
	began int64      // when this time was first taken from a wall, by this time
}

// sameTime is how far the ages of one time may differ as two nodes see it: as long as an exchange takes, and more.
const sameTime = time.Second

// reading is what a clock shows.
type reading struct {
	at      int64         // Unix nanoseconds
	age     time.Duration // for how long there has been this time
	settled bool
}

func newClock(wall time.Time) *clock {
	c := &clock{base: time.Now(), began: wall.UnixNano()}
	c.offset.Store(c.began)
	return c
}

// now returns the time in Unix nanoseconds.
func (c *clock) now() int64 { return c.offset.Load() + int64(time.Since(c.base)) }

func (c *clock) read() reading {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	return reading{now, time.Duration(now - c.began), c.settled.Load()}
}

// older reports whether a reading is of a time that is older than this clock's.
func (c *clock) older(r reading) bool { return r.age > c.read().age+sameTime }

// heard sets the clock by what another one has shown at some moment after sent, unless that is a younger time. It is moved no further than that says for
// certain.
func (c *clock) heard(r reading, sent time.Time) {
	c.settled.Store(true)
	c.mu.Lock()
	defer c.mu.Unlock()
	took := time.Since(sent)
	earliest, latest := r.at-int64(time.Since(c.base)), r.at-int64(sent.Sub(c.base))
	switch age := time.Duration(c.now() - c.began); {
	case r.age+took+sameTime < age:
		return
	case r.age > age+sameTime:
		c.offset.Store(earliest + (latest-earliest)/2)
	default:
		c.offset.Store(min(max(c.offset.Load(), earliest), latest))
	}
	c.began = r.at - int64(r.age)
}

// vote sets a clock that nobody could tell the time by what most walls show: ahead has how far those of other nodes that have just started are ahead of this
// node's. Two walls do not say which of them is wrong. age is that of the oldest of their times, so that all take over this one.
func (c *clock) vote(ahead []int64, age time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.settled.Load() {
		return
	}
	if all := append(slices.Clone(ahead), 0); len(all) > 2 {
		slices.Sort(all)
		c.offset.Add(all[(len(all)-1)/2])
		c.began += all[(len(all)-1)/2]
	}
	c.began = min(c.began, c.now()-int64(age))
	c.settled.Store(true)
}

func appendReading(b []byte, r reading) []byte {
	b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(r.at)), uint64(r.age))
	if r.settled {
		return append(b, 1)
	}
	return append(b, 0)
}

func readReading(b []byte) (r reading, err error) {
	at, b, err := nodecodec.Uvarint(b)
	if err != nil {
		return r, errRequest
	}
	age, b, err := nodecodec.Uvarint(b)
	if err != nil || len(b) == 0 {
		return r, errRequest
	}
	return reading{int64(at), time.Duration(age), b[0] != 0}, nil
}

// Now returns the time that the cluster agrees on.
func (l *Log) Now() time.Time { return time.Unix(0, l.clock.now()) }

// settleTime lets a new leader that has just started hear from those who were there before; for as long as one of them may still have a lease. If all have
// just started, most walls are right.
func (l *Log) settleTime(ctx context.Context) {
	if l.clock.settled.Load() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, l.cfg.LeaseDuration)
	defer cancel()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var ahead []int64
	var age time.Duration
	for _, m := range l.fsm.members() {
		if name := m.node.Name; name != l.cfg.Self.Name {
			wg.Go(func() {
				r, err := l.askTime(ctx, name)
				for ; err != nil && ctx.Err() == nil; r, err = l.askTime(ctx, name) {
					select {
					case <-time.After(reachedPause):
					case <-ctx.Done():
					}
				}
				if err != nil {
					return
				}
				mu.Lock()
				defer mu.Unlock()
				ahead, age = append(ahead, r.at-l.clock.now()), max(age, r.age)
			})
		}
	}
	wg.Wait()
	l.clock.vote(ahead, age)
}

// serveTime answers a node that asks for the time. A leader that does not know it yet says so.
func (l *Log) serveTime() ([]byte, error) {
	if l.reign.Load() != nil && !l.clock.settled.Load() {
		return nil, errNotReady
	}
	return appendReading(nil, l.clock.read()), nil
}

// knowsTime reports whether this node knows the cluster's time, and asks the leader if it does not.
func (l *Log) knowsTime(ctx context.Context) bool {
	if l.clock.settled.Load() {
		return true
	}
	_, id := l.raft.LeaderWithID()
	if id == "" || string(id) == l.cfg.Self.Name { // which hears it as such
		return false
	}
	_, err := l.askTime(ctx, string(id))
	if err != nil && strings.Contains(err.Error(), errRequest.Error()) {
		return true // a version that knows no time
	}
	return err == nil
}

// askTime asks a node for the time, and sets the clock if it knows it.
func (l *Log) askTime(ctx context.Context, node string) (r reading, err error) {
	ctx, cancel := context.WithTimeout(ctx, reachedTimeout)
	defer cancel()
	sent := time.Now()
	answer, err := l.cfg.Peers.Control(ctx, node, []byte{controlVersion, opTime})
	if err != nil {
		return r, err
	}
	if r, err = readReading(answer); err == nil && r.settled {
		l.clock.heard(r, sent)
	}
	return r, err
}

// hearRenewal takes over the time of a node that asks for a lease, if it is older.
func (l *Log) hearRenewal(ctx context.Context, node string, r reading) {
	if l.clock.older(r) {
		if _, err := l.askTime(ctx, node); err != nil {
			l.cfg.Logger.Debug("the cluster's time not heard", "node", node, "err", err)
		}
	}
}
