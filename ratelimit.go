package shoal

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/shoalmq/shoal/packets"
)

// RateLimits bound how fast clients publish, on each node of a cluster for itself. By default there are no such limits.
type RateLimits struct {
	// Client is for each connection.
	Client RateLimit
	// Listener is for all connections together of each listener that is not in Listeners, which is by URL as given to WithListen, or by the
	// address of what was given to WithListener. Connections of Broker.Dial have a listener of their own, "inprocess".
	Listener  RateLimit
	Listeners map[string]RateLimit
}

// RateLimit is one of RateLimits. Zero fields mean no limit. PUBLISH packets count, those of all QoS.
type RateLimit struct {
	MessagesPerSecond float64
	MessagesBurst     int // at once; default: one second's
	BytesPerSecond    float64
	BytesBurst        int // at once; default: one second's. A larger packet passes when nothing came for as long as the burst takes
	Action            RateAction
}

// RateAction is what happens to a PUBLISH that comes too fast.
type RateAction byte

// The actions.
const (
	// RateWait does not read from the connection until the rate allows the message. Nothing is lost; a client that goes on is held back by
	// its socket. Its other packets wait, too, and its Keep Alive does not run meanwhile.
	RateWait RateAction = iota
	// RateRefuse answers QoS 1 and 2 with Quota exceeded (0x97), since PUBACK and PUBREC know no Message rate too high, and drops QoS 0,
	// with the reason rate_limited. A client of MQTT 3, which cannot be told, waits.
	RateRefuse
	// RateDisconnect ends the connection with Message rate too high (0x96).
	RateDisconnect
)

// WithRateLimits bounds how fast clients publish.
func WithRateLimits(l RateLimits) Option { return func(c *config) { c.rateLimits = l } }

func (l *RateLimit) isZero() bool { return l.MessagesPerSecond == 0 && l.BytesPerSecond == 0 }

func (l *RateLimit) validate(name string) error {
	switch {
	case !validRate(l.MessagesPerSecond) || !validRate(l.BytesPerSecond):
		return fmt.Errorf("shoal: WithRateLimits: %s: MessagesPerSecond is %v and BytesPerSecond %v; they must be numbers that are not negative, 0 means no limit", name, l.MessagesPerSecond, l.BytesPerSecond)
	case l.MessagesBurst < 0 || l.BytesBurst < 0:
		return fmt.Errorf("shoal: WithRateLimits: %s: MessagesBurst is %d and BytesBurst %d; they must not be negative, 0 means one second's", name, l.MessagesBurst, l.BytesBurst)
	case (l.MessagesBurst > 0 && l.MessagesPerSecond == 0) || (l.BytesBurst > 0 && l.BytesPerSecond == 0):
		return fmt.Errorf("shoal: WithRateLimits: %s: a burst without a rate limits nothing; set both", name)
	case l.Action > RateDisconnect:
		return fmt.Errorf("shoal: WithRateLimits: %s: Action is %d; use RateWait, RateRefuse or RateDisconnect", name, l.Action)
	}
	return nil
}

func (l *RateLimits) validate(listeners []string) error {
	errs := []error{l.Client.validate("Client"), l.Listener.validate("Listener")}
	for name, limit := range l.Listeners {
		errs = append(errs, limit.validate("Listeners["+name+"]"), knownListener("WithRateLimits", name, listeners))
	}
	return errors.Join(errs...)
}

// rateLimits are the limiters of a broker.
type rateLimits struct {
	cfg RateLimits

	mu        sync.Mutex
	listeners map[string]*limiter
}

// newRateLimits returns nil if nothing is limited.
func newRateLimits(cfg *RateLimits) *rateLimits {
	if cfg.Client.isZero() && cfg.Listener.isZero() && len(cfg.Listeners) == 0 {
		return nil
	}
	return &rateLimits{cfg: *cfg, listeners: make(map[string]*limiter)}
}

// of returns the limiters of a new connection.
func (r *rateLimits) of(listener string, now time.Time) (list []*limiter) {
	if !r.cfg.Client.isZero() {
		list = append(list, newLimiter(&r.cfg.Client, now))
	}
	limit := r.cfg.Listener
	if own, ok := r.cfg.Listeners[listener]; ok {
		limit = own
	}
	if limit.isZero() {
		return list
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.listeners[listener]
	if l == nil {
		l = newLimiter(&limit, now)
		r.listeners[listener] = l
	}
	return append(list, l)
}

// limiter holds the messages of one connection, or of one listener, to a limit.
type limiter struct {
	limit *RateLimit

	mu              sync.Mutex
	messages, bytes bucket
}

func newLimiter(l *RateLimit, now time.Time) *limiter {
	return &limiter{
		limit: l, messages: newBucket(l.MessagesPerSecond, l.MessagesBurst, now), bytes: newBucket(l.BytesPerSecond, l.BytesBurst, now),
	}
}

// pass counts a message. It returns how long that must wait; ok is false, and nothing counted, if it comes too fast and is not to wait.
func (l *limiter) pass(size int, mayWait bool, now time.Time) (wait time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	messages, bytes := l.limit.MessagesPerSecond > 0, l.limit.BytesPerSecond > 0
	if !mayWait && ((messages && !l.messages.has(1, now)) || (bytes && !l.bytes.has(float64(size), now))) {
		return 0, false
	}
	if messages {
		wait = l.messages.take(1, now)
	}
	if bytes {
		wait = max(wait, l.bytes.take(float64(size), now))
	}
	if !mayWait {
		wait = 0 // it was larger than the burst
	}
	return wait, true
}

// ration holds a PUBLISH to the limits of its connection: it waits, or says how to refuse it.
func (c *conn) ration(sc *scratch, p *packets.Publish) packets.ReasonCode {
	var wait time.Duration
	for _, l := range c.rate {
		mayWait := l.limit.Action == RateWait || (l.limit.Action == RateRefuse && c.version < packets.V5)
		w, ok := l.pass(sc.size, mayWait, sc.now)
		if ok {
			wait = max(wait, w)
			continue
		}
		sc.reason = l.limit.text()
		c.tooFast = l.limit.Action == RateDisconnect
		return c.dropPublish(p, DropRateLimited, packets.QuotaExceeded)
	}
	if wait > 0 {
		sc.flush()
		c.pause(wait)
		sc.now = time.Now()
		sc.nano = sc.b.nano()
		c.lastRead, c.lastBytes = sc.now, sc.now
	}
	return packets.Success
}

func (l *RateLimit) text() string {
	switch {
	case l.BytesPerSecond == 0:
		return fmt.Sprintf("more than %v messages a second; publish more slowly", l.MessagesPerSecond)
	case l.MessagesPerSecond == 0:
		return fmt.Sprintf("more than %v bytes a second; publish more slowly", l.BytesPerSecond)
	}
	return fmt.Sprintf("more than %v messages or %v bytes a second; publish more slowly", l.MessagesPerSecond, l.BytesPerSecond)
}

// pause keeps the reader from reading on, until it is kicked.
func (c *conn) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for c.order.Load() == nil {
		select {
		case <-timer.C:
			return
		case <-c.wake: // also when an answer has left
		case <-c.b.life.Done():
			return
		}
	}
}
