package raftlog

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/shoalmq/shoal/cluster/internal/nodecodec"
)

// renewals is how many times a lease is renewed in its duration.
const renewals = 8

// lease is this node's own.
type lease struct {
	base time.Time
	end  atomic.Int64 // nanoseconds since base; 0 for none
	wake chan struct{}
}

func newLease() *lease { return &lease{base: time.Now(), wake: make(chan struct{}, 1)} }

// held reports whether the lease runs now.
func (l *lease) held() bool {
	end := l.end.Load()
	return end > 0 && int64(time.Since(l.base)) < end
}

// extend moves the end, but never back.
func (l *lease) extend(until time.Time) {
	end := int64(until.Sub(l.base))
	for {
		old := l.end.Load()
		if end <= old {
			return
		}
		if l.end.CompareAndSwap(old, end) {
			break
		}
	}
	l.poke()
}

func (l *lease) drop() {
	l.end.Store(0)
	l.poke()
}

func (l *lease) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// run reports the edges until ctx ends, and the last one then.
func (l *lease) run(ctx context.Context, changed func(serving bool)) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	told := false
	for {
		now := l.held() && ctx.Err() == nil
		if now != told {
			told = now
			changed(now)
		}
		if ctx.Err() != nil {
			return
		}
		wait := time.Hour
		if now {
			wait = max(0, time.Duration(l.end.Load())-time.Since(l.base))
		}
		timer.Reset(wait)
		select {
		case <-l.wake:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
}

// Serving is Replicator.Serving.
func (l *Log) Serving() bool { return l.lease.held() }

// renew keeps the lease going while this node is up.
func (l *Log) renew(ctx context.Context) {
	period := l.cfg.LeaseDuration / renewals
	t := time.NewTicker(period)
	defer t.Stop()
	for {
		changed := l.leaderChanged()
		if inc := l.incarnation.Load(); inc != 0 && l.stores.fitness.trouble() == nil {
			if err := l.renewOnce(ctx, inc); err != nil && ctx.Err() == nil {
				l.cfg.Logger.Debug("lease not renewed", "err", err)
			}
		}
		select {
		case <-t.C:
		case <-changed:
		case <-l.renewNow:
		case <-ctx.Done():
			return
		}
	}
}

func (l *Log) pokeRenew() {
	select {
	case l.renewNow <- struct{}{}:
	default:
	}
}

func (l *Log) renewOnce(ctx context.Context, incarnation uint64) error {
	body := appendIncarnation(nil, l.cfg.Self.Name, incarnation)
	body = binary.AppendUvarint(body, l.fsm.watch.applied.Load())
	body = appendReading(body, l.clock.read())
	sent := time.Now()
	answer, err := l.toLeader(ctx, l.cfg.LeaseDuration/4, opRenew, body)
	if err != nil {
		return err
	}
	ttl, rest, err := nodecodec.Uvarint(answer)
	if err != nil {
		return errRequest
	}
	if r, err := readReading(rest); err == nil {
		l.clock.heard(r, sent)
	}
	if l.leaving.Load() || l.incarnation.Load() != incarnation {
		return nil
	}
	l.lease.extend(sent.Add(min(time.Duration(ttl), l.cfg.LeaseDuration)))
	if l.leaving.Load() || l.incarnation.Load() != incarnation {
		l.lease.drop() // given up while this was extended
	}
	return nil
}

func (l *Log) serveRenew(ctx context.Context, body []byte) ([]byte, error) {
	name, incarnation, rest, err := readIncarnation(body)
	if err != nil {
		return nil, err
	}
	applied, rest, err := nodecodec.Uvarint(rest)
	if err != nil {
		return nil, errRequest
	}
	if r, err := readReading(rest); err == nil {
		l.hearRenewal(ctx, name, r)
	}
	r := l.reign.Load()
	if r == nil {
		return nil, errNotLeader
	}
	ttl, err := r.grant(name, incarnation, applied)
	if err != nil {
		return nil, fmt.Errorf("no lease for incarnation %d of node %s: %w", incarnation, name, err)
	}
	return appendReading(binary.AppendUvarint(nil, uint64(ttl)), l.clock.read()), nil
}

func (l *Log) serveApplied(body []byte) ([]byte, error) {
	name, incarnation, _, err := readIncarnation(body)
	if err != nil {
		return nil, err
	}
	r := l.reign.Load()
	if r == nil {
		return nil, errNotLeader
	}
	return binary.AppendUvarint(nil, r.appliedBy(name, incarnation)), nil
}
