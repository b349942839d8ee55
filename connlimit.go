package shoal

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/shoalmq/shoal/packets"
)

// ConnectionLimits bound the connections of one broker, on each node of a cluster for itself. By default there are no such limits.
//
// A connection beyond a limit is told so by its CONNACK (v5: the code below; v3: Server unavailable) and closed. It takes a place of its own
// until then; when 256 are being told, further ones are closed at once.
//
//	limit                     Open                      PerSecond
//	Broker, Listener          Server busy (0x89)        Connection rate exceeded (0x9F)
//	Address, Principal        Quota exceeded (0x97)     Connection rate exceeded (0x9F)
type ConnectionLimits struct {
	// Broker is for all connections together, those of Broker.Dial included.
	Broker ConnectionLimit
	// Listener is for each listener that is not in Listeners, which is by URL as given to WithListen, or by the address of what was given
	// to WithListener.
	Listener  ConnectionLimit
	Listeners map[string]ConnectionLimit
	// Address is for each remote IP address; the addresses of an IPv6 /64 count as one.
	Address ConnectionLimit
	// Principal is for each Principal's Name, once that is known; clients without a name are not counted. A client that takes its own session over
	// is let in when its old connection takes the last place.
	Principal ConnectionLimit
}

// ConnectionLimit is one of ConnectionLimits. Zero fields mean no limit.
type ConnectionLimit struct {
	Open      int     // at the same time
	PerSecond float64 // new ones, on average
	Burst     int     // new ones at once; default: one second's
}

func (l *ConnectionLimit) isZero() bool { return l.Open == 0 && l.PerSecond == 0 }

func (l *ConnectionLimit) validate(name string) error {
	switch {
	case l.Open < 0 || l.Burst < 0:
		return fmt.Errorf("shoal: WithConnectionLimits: %s: Open is %d and Burst %d; they must not be negative, 0 means no limit", name, l.Open, l.Burst)
	case !validRate(l.PerSecond):
		return fmt.Errorf("shoal: WithConnectionLimits: %s: PerSecond is %v; it must be a number that is not negative, 0 means no limit", name, l.PerSecond)
	case l.Burst > 0 && l.PerSecond == 0:
		return fmt.Errorf("shoal: WithConnectionLimits: %s: Burst without PerSecond limits nothing; set both", name)
	}
	return nil
}

// WithConnectionLimits bounds connections, in number and rate.
func WithConnectionLimits(l ConnectionLimits) Option { return func(c *config) { c.connLimits = l } }

// validate checks the limits against the names of the listeners.
func (l *ConnectionLimits) validate(listeners []string) error {
	errs := []error{
		l.Broker.validate("Broker"), l.Listener.validate("Listener"), l.Address.validate("Address"), l.Principal.validate("Principal"),
	}
	for name, limit := range l.Listeners {
		errs = append(errs, limit.validate("Listeners["+name+"]"), knownListener("WithConnectionLimits", name, listeners))
	}
	return errors.Join(errs...)
}

func knownListener(option, name string, listeners []string) error {
	if slices.Contains(listeners, name) {
		return nil
	}
	return fmt.Errorf("shoal: %s: Listeners names %q, which is no listener; there are: %s", option, name, strings.Join(listeners, ", "))
}

// connLimits counts connections.
type connLimits struct {
	cfg ConnectionLimits

	mu         sync.Mutex
	broker     counter
	listeners  map[string]*counter
	addresses  counters[netip.Prefix]
	principals counters[string]
	telling    int // connections that are beyond a limit and told so
}

// mostTold is how many connections are told at the same time that they are too many.
const mostTold = 256

// newConnLimits returns nil if nothing is limited.
func newConnLimits(cfg *ConnectionLimits) *connLimits {
	none := cfg.Broker.isZero() && cfg.Listener.isZero() && cfg.Address.isZero() && cfg.Principal.isZero() && len(cfg.Listeners) == 0
	if none {
		return nil
	}
	return &connLimits{
		cfg: *cfg, broker: counter{limit: &cfg.Broker}, listeners: make(map[string]*counter),
		addresses: counters[netip.Prefix]{limit: &cfg.Address}, principals: counters[string]{limit: &cfg.Principal},
	}
}

// counted is what a connection counts for.
type counted struct {
	refused   *Error // it is beyond a limit, which its CONNECT is answered with
	address   netip.Prefix
	principal string
}

// counter counts the connections of one kind.
type counter struct {
	limit  *ConnectionLimit
	open   int
	bucket bucket
	rated  bool
}

// exceeded returns the code to refuse one more connection with, or Success. open is how many there are.
func (c *counter) exceeded(open int, full packets.ReasonCode, now time.Time) packets.ReasonCode {
	if c.limit.Open > 0 && open >= c.limit.Open {
		return full
	}
	if c.limit.PerSecond == 0 {
		return packets.Success
	}
	if !c.rated {
		c.rated, c.bucket = true, newBucket(c.limit.PerSecond, c.limit.Burst, now)
	}
	if !c.bucket.has(1, now) {
		return packets.ConnectionRateExceeded
	}
	return packets.Success
}

func (c *counter) add() {
	c.open++
	if c.rated {
		c.bucket.tokens--
	}
}

// idle reports whether the counter knows nothing any more.
func (c *counter) idle(now time.Time) bool { return c.open == 0 && (!c.rated || c.bucket.full(now)) }

// counters are those of all addresses, or principals. Only those that know something are kept.
type counters[K comparable] struct {
	limit *ConnectionLimit
	m     map[K]*counter
	sweep int // the size at which to look for idle ones
}

const (
	countersFirst = 1024
	// mostCounters is how many are kept. Beyond it, those without a connection are forgotten, and with them how many came lately.
	mostCounters = 100_000
)

func (cs *counters[K]) get(key K, now time.Time) *counter {
	if c := cs.m[key]; c != nil {
		return c
	}
	if cs.m == nil {
		cs.m, cs.sweep = make(map[K]*counter), countersFirst
	}
	if len(cs.m) >= cs.sweep {
		crowded := len(cs.m) >= mostCounters
		for k, c := range cs.m {
			if c.idle(now) || (crowded && c.open == 0) {
				delete(cs.m, k)
			}
		}
		cs.sweep = max(min(2*len(cs.m), mostCounters), len(cs.m)+countersFirst)
	}
	c := &counter{limit: cs.limit}
	cs.m[key] = c
	return c
}

// done notes that a connection has ended.
func (cs *counters[K]) done(key K) {
	c := cs.m[key]
	if c == nil {
		return
	}
	if c.open--; c.open == 0 && !c.rated {
		delete(cs.m, key)
	}
}

// listener is the counter of a listener. The caller holds l.mu.
func (l *connLimits) listener(name string) *counter {
	c := l.listeners[name]
	if c == nil {
		c = &counter{limit: &l.cfg.Listener}
		if own, ok := l.cfg.Listeners[name]; ok {
			c.limit = &own
		}
		l.listeners[name] = c
	}
	return c
}

// admit counts a new connection. It returns false for one that is to be closed at once.
func (l *connLimits) admit(c *conn, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	listener := l.listener(c.listener)
	var address *counter
	if ip := remoteIP(c.remote); ip.IsValid() && !l.cfg.Address.isZero() {
		bits := ip.BitLen()
		if ip.Is6() {
			bits = 64
		}
		c.counted.address, _ = ip.Prefix(bits) // cannot fail: there are as many bits
		address = l.addresses.get(c.counted.address, now)
	}
	refuse := func(code packets.ReasonCode, who string) bool {
		*c.counted = counted{refused: &Error{ReasonCode: code, Reason: refusalText(code, who)}}
		if l.telling >= mostTold {
			return false
		}
		l.telling++
		return true
	}
	if code := l.broker.exceeded(l.broker.open, packets.ServerBusy, now); code.IsError() {
		return refuse(code, "this server")
	}
	if code := listener.exceeded(listener.open, packets.ServerBusy, now); code.IsError() {
		return refuse(code, "this listener")
	}
	if address != nil {
		if code := address.exceeded(address.open, packets.QuotaExceeded, now); code.IsError() {
			return refuse(code, "your address")
		}
		address.add()
	}
	l.broker.add()
	listener.add()
	return true
}

func refusalText(code packets.ReasonCode, who string) string {
	if code == packets.ConnectionRateExceeded {
		return "new connections come too fast for " + who + "; connect again later, and wait longer each time"
	}
	return "there are as many connections as are allowed for " + who + "; close some, or connect again later"
}

// leave takes back what admit and identify have counted.
func (l *connLimits) leave(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.counted.refused != nil {
		l.telling--
		return
	}
	l.broker.open--
	l.listener(c.listener).open--
	if c.counted.address.IsValid() {
		l.addresses.done(c.counted.address)
	}
	if c.counted.principal != "" {
		l.principals.done(c.counted.principal)
	}
}

// identify counts the connection for its client's Principal, in place of another one after a re-authentication. own is how many connections
// of that Principal it is about to take over.
func (l *connLimits) identify(c *conn, name string, own int, now time.Time) error {
	if l.cfg.Principal.isZero() || name == c.counted.principal {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if name != "" {
		p := l.principals.get(name, now)
		if code := p.exceeded(p.open-own, packets.QuotaExceeded, now); code.IsError() {
			return &Error{ReasonCode: code, Reason: refusalText(code, "your user")}
		}
		p.add()
	}
	if c.counted.principal != "" {
		l.principals.done(c.counted.principal)
	}
	c.counted.principal = name
	return nil
}

// underLimits counts a new connection. It reports false if that is to be closed at once.
func (c *conn) underLimits() bool {
	now := time.Now()
	if r := c.b.rateLimits; r != nil {
		c.rate = r.of(c.listener, now)
	}
	if l := c.b.connLimits; l != nil {
		c.counted = new(counted)
		return l.admit(c, now)
	}
	return true
}

// leaveLimits takes back what was counted.
func (c *conn) leaveLimits() {
	if l := c.b.connLimits; l != nil {
		l.leave(c)
	}
}

// limitPrincipal refuses one connection too many of one Principal.
func (c *conn) limitPrincipal(name string) error {
	l := c.b.connLimits
	if l == nil {
		return nil
	}
	own := 0
	if s := c.b.sessions.get(c.clientID); s != nil {
		s.mu.Lock()
		old := s.conn
		s.mu.Unlock()
		if old != nil && old != c {
			if who := old.who.Load(); who != nil && who.principal.Name == name {
				own = 1
			}
		}
	}
	return l.identify(c, name, own, time.Now())
}
