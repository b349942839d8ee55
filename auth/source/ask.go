package source

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// question is what a source is asked.
type question[V any] struct {
	kind string
	key  string // tells it from all others of its kind
	name string // whom it is about
	ask  func(context.Context) (V, error)
	// keep says for how long an answer is kept, and by which key.
	keep func(V) (key string, ttl time.Duration)
}

// ask puts a question to the source that the cache cannot answer. old is a stale answer, if there
// is one. An error is a *down, unless ctx has ended.
func ask[V any](ctx context.Context, a *Authenticator, c *cache[V], q question[V], old V, stale bool) (V, error) {
	a.n.misses.Add(1)
	epoch := a.epoch.Load()
	wait, cancel := context.WithTimeout(ctx, a.cfg.Timeout)
	defer cancel()
	key := q.kind + strconv.FormatUint(epoch, 10) + " " + q.key
	var result V
	var err error
	select {
	case r := <-a.flight.DoChan(key, func() (any, error) { return put(a, c, q, epoch) }):
		if r.Shared {
			a.n.shared.Add(1)
		}
		result, _ = r.Val.(V)
		err = r.Err
	case <-wait.Done():
		if ctx.Err() != nil {
			return result, context.Cause(ctx)
		}
		err = errBusy
	}
	if err == nil {
		return result, nil
	}
	if stale { // which is kept only if WhenDown wants it
		a.n.stale.Add(1)
		return old, nil
	}
	return result, &down{fmt.Errorf("%s: cannot be asked: %w", a.cfg.Name, err)}
}

// askHere asks a source that answers from memory.
func askHere[V any](ctx context.Context, a *Authenticator, question func(context.Context) (V, error)) (v V, err error) {
	a.n.questions.Add(1)
	if err = errClosed; a.life.Err() == nil {
		v, err = question(ctx)
	}
	if err != nil {
		a.n.failures.Add(1)
		return v, &down{fmt.Errorf("%s: cannot be asked: %w", a.cfg.Name, err)}
	}
	return v, nil
}

// put puts a question and keeps the answer. It runs on a goroutine of its own, which Close waits
// for.
func put[V any](a *Authenticator, c *cache[V], q question[V], epoch uint64) (v V, err error) {
	if !a.begin() {
		return v, errClosed
	}
	defer a.asking.Done()
	if !a.breaker.allow(time.Now()) {
		a.n.broken.Add(1)
		return v, errBroken
	}
	ctx, cancel := context.WithTimeout(a.life, a.cfg.Timeout)
	defer cancel()
	select {
	case a.slots <- struct{}{}:
		defer func() { <-a.slots }()
	case <-ctx.Done():
		a.n.failures.Add(1)
		return v, errBusy
	}
	a.n.questions.Add(1)
	v, err = guarded(ctx, q.ask)
	a.answered(err)
	if err != nil {
		return v, err
	}
	if key, ttl := q.keep(v); ttl > 0 && a.epoch.Load() == epoch {
		var stale time.Duration
		if a.cfg.WhenDown != Refuse {
			stale = a.cfg.StaleFor
		}
		c.put(key, q.name, v, time.Now(), ttl, stale)
		if a.epoch.Load() != epoch { // an invalidation passed it by
			c.drop(q.name, false)
		}
	}
	return v, nil
}

// guarded makes an error of a panic of the source, which would end the process on this goroutine.
func guarded[V any](ctx context.Context, ask func(context.Context) (V, error)) (v V, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("it has panicked: %v", p)
		}
	}()
	return ask(ctx)
}

// answered notes, and logs once, whether the source works.
func (a *Authenticator) answered(err error) {
	if err != nil {
		a.n.failures.Add(1)
		if a.life.Err() != nil {
			return
		}
	}
	if !a.breaker.answered(err == nil, time.Now()) {
		return
	}
	if err != nil {
		a.cfg.Logger.Warn("a source of users cannot be asked", "source", a.cfg.Name, "error", err)
	} else {
		a.cfg.Logger.Info("a source of users can be asked again", "source", a.cfg.Name)
	}
}

// isDown reports whether the source could not be asked.
func isDown(err error) bool {
	var d *down
	return errors.As(err, &d)
}
