package source

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/auth/acl"
	"github.com/shoalmq/shoal/auth/password"
)

// Authenticator is a shoal.Authenticator and shoal.Authorizer that asks a Source. Make one with
// New, and close it after the broker has been shut down.
type Authenticator struct {
	cfg       Config
	source    Source
	everybody *acl.List
	macKey    []byte

	users     *cache[answer]
	proofs    *cache[struct{}] // passwords that were right
	lists     *cache[*acl.List]
	decisions *cache[acl.Decision]
	decoy     atomic.Pointer[password.Hash] // what unknown users' passwords are compared with

	flight  singleflight.Group
	slots   chan struct{}
	breaker breaker
	epoch   atomic.Uint64 // counts invalidations
	n       counters

	life   context.Context
	cancel context.CancelFunc
	asking sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	hearers []func()
}

var _ interface {
	shoal.Authenticator
	shoal.Authorizer
	io.Closer
} = (*Authenticator)(nil)

// New makes an Authenticator that asks s, or says what is wrong with cfg.
func New(s Source, cfg Config) (*Authenticator, error) {
	if s == nil {
		return nil, errors.New("source: New: the Source is nil")
	}
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	everybody, err := acl.Compile(cfg.Order, cfg.Everybody)
	if err != nil {
		return nil, errors.Join(errors.New(cfg.Name+": Config.Everybody or Order"), err)
	}
	a := &Authenticator{
		cfg: cfg, source: s, everybody: everybody, macKey: []byte(rand.Text()),
		users: newCache[answer](cfg.Entries), proofs: newCache[struct{}](cfg.Entries),
		lists: newCache[*acl.List](cfg.Entries), decisions: newCache[acl.Decision](cfg.Entries),
		slots: make(chan struct{}, cfg.Questions),
	}
	a.life, a.cancel = context.WithCancel(context.Background())
	return a, nil
}

// Close ends the questions that are on their way, waits for them, and closes the Source if it is an
// io.Closer. Nobody is let in afterwards. Closing twice is fine.
func (a *Authenticator) Close() error {
	a.mu.Lock()
	already := a.closed
	a.closed = true
	a.mu.Unlock()
	a.cancel()
	a.asking.Wait()
	if c, ok := a.source.(io.Closer); ok && !already {
		return c.Close()
	}
	return nil
}

// Check asks a Source that can say so whether it works: whether it can be reached, and what it is to be
// asked exists. Programs call it when they start, to tell what is wrong before a client finds out. It
// returns nil for other sources.
func (a *Authenticator) Check(ctx context.Context) error {
	c, ok := a.source.(interface{ Check(context.Context) error })
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, a.cfg.Timeout)
	defer cancel()
	return c.Check(ctx)
}

// begin counts a question, unless the Authenticator is closed.
func (a *Authenticator) begin() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return false
	}
	a.asking.Add(1)
	return true
}

// Invalidate forgets what is known about a name: a user name or client ID, as users and rules are
// kept by. What OnInvalidate was given is called.
func (a *Authenticator) Invalidate(name string) { a.invalidate(name, false) }

// InvalidateAll forgets what is known about everybody. What OnInvalidate was given is called.
func (a *Authenticator) InvalidateAll() { a.invalidate("", true) }

func (a *Authenticator) invalidate(name string, all bool) {
	a.epoch.Add(1) // answers that are on their way are not kept
	a.users.drop(a.label(name), all)
	a.lists.drop(name, all)
	a.decisions.drop(name, all)
	if all {
		a.proofs.drop("", true)
	}
	a.mu.Lock()
	hearers := slices.Clone(a.hearers)
	a.mu.Unlock()
	for _, fn := range hearers {
		fn()
	}
}

// OnInvalidate has fn called after each invalidation, on its goroutine. Give it
// Broker.InvalidateAuthorization, so that changed rules take effect on open connections at once.
func (a *Authenticator) OnInvalidate(fn func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.hearers = append(a.hearers, fn)
}

// mac stands for texts that must not be in memory in clear.
func (a *Authenticator) mac(texts ...string) string {
	h := hmac.New(sha256.New, a.macKey)
	var length [8]byte
	for _, t := range texts { // each with its length, so that no two lists look alike
		binary.BigEndian.PutUint64(length[:], uint64(len(t)))
		_, _ = h.Write(length[:]) // never fails, nor does the other
		_, _ = io.WriteString(h, t)
	}
	return string(h.Sum(nil))
}

// label stands for the name of a user, which may be a token.
func (a *Authenticator) label(name string) string { return a.mac("label", name) }

// memo is the rules of a client as they were last used.
type memo struct{ p atomic.Pointer[memoised] }

type memoised struct {
	list   *acl.List
	access *acl.Access
}

// down says that the source could not be asked.
type down struct{ err error }

func (d *down) Error() string { return d.err.Error() }
func (d *down) Unwrap() error { return d.err }

var (
	errBroken = errors.New("it has failed several times in a row, and is asked again in a second")
	errClosed = errors.New("the authenticator is closed")
	errBusy   = errors.New("it has not answered in time")
)

// until returns the time for which an answer is kept.
func (a *Authenticator) until(positive bool) time.Duration {
	if positive {
		return a.cfg.TTL
	}
	return a.cfg.NegativeTTL
}
