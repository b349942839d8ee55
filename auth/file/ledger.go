package file

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/auth/acl"
	"github.com/shoalmq/shoal/packets"
)

// LedgerConfig is what NewLedger takes.
type LedgerConfig struct {
	// Path of the ledger, in YAML, or in JSON if it begins with a brace. Required.
	Path string
	// Next makes the file a blacklist.yml: whom or what it says nothing of, Next is asked about.
	Next shoal.Authenticator
	// NoWatch leaves the file alone until Reload is called.
	NoWatch bool
	// Logger is told about changes. Default: none.
	Logger *slog.Logger
}

// Ledger decides by the ledger of mochi and comqtt, or, in front of another Authenticator, by
// comqtt's blacklist.yml. Close it after the broker has been shut down; it does not close Next.
//
// Both have rules for clients whose client ID, user name and remote address (with its port) match
// texts: an empty text and "*" match everything, "10.0.*" what begins so.
//
//   - auth: the first rule that matches lets the client in or refuses it. A ledger compares the
//     password, too, and refuses whom no rule matches; before the rules it looks into its users. A
//     blacklist compares no passwords.
//   - acl: the first rule that matches the client and says something of the topic decides. A rule
//     without filters allows everything. In a ledger, a filter that grants wins over the others of
//     its rule, and what no rule says anything of is allowed. In a blacklist the longest
//     filter of a rule decides.
//
// Subscriptions are judged as package acl does: one that a granting filter does not cover, and that
// reaches into a filter which does not grant, is refused.
type Ledger struct {
	cfg     LedgerConfig
	log     *slog.Logger
	now     atomic.Pointer[ledger]
	watcher *watcher

	mu      sync.Mutex
	read    map[string]string
	hearers []func()
}

var _ interface {
	shoal.Authenticator
	shoal.Authorizer
	shoal.EnhancedAuthenticator
} = (*Ledger)(nil)

// NewLedger reads the file and makes a Ledger, or says what is wrong with cfg or the file.
func NewLedger(cfg LedgerConfig) (*Ledger, error) {
	if cfg.Path == "" {
		return nil, errors.New("file: LedgerConfig.Path is empty")
	}
	l := &Ledger{cfg: cfg, log: orDiscard(cfg.Logger)}
	data, err := readAll([]string{cfg.Path})
	if err != nil {
		return nil, err
	}
	if err := l.use(data); err != nil {
		return nil, err
	}
	if !cfg.NoWatch {
		if l.watcher, err = watch([]string{cfg.Path}, l.log, func() { _ = l.Reload() }); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func (l *Ledger) use(data map[string]string) error {
	l.read = data
	parsed, err := parseLedger(l.cfg.Path, []byte(data[l.cfg.Path]), l.cfg.Next != nil)
	if err != nil {
		return fmt.Errorf("file: %w", err)
	}
	l.now.Store(parsed)
	return nil
}

// Reload reads the file again, if its contents have changed. If it has an error, that is logged and
// returned, and what was read before stays in force.
func (l *Ledger) Reload() error {
	hearers, err := l.reload()
	for _, fn := range hearers {
		fn()
	}
	return err
}

func (l *Ledger) reload() ([]func(), error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	data, err := readAll([]string{l.cfg.Path})
	if err == nil {
		if same(data, l.read) {
			return nil, nil
		}
		err = l.use(data)
	}
	if err != nil {
		l.log.Error("a changed ledger is not used; what was read before stays in force", "error", err)
		return nil, err
	}
	l.log.Info("a changed ledger is in force", "path", l.cfg.Path)
	return slices.Clone(l.hearers), nil
}

// OnChange has fn called after each change of the file. Give it Broker.InvalidateAuthorization.
func (l *Ledger) OnChange(fn func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hearers = append(l.hearers, fn)
}

// Close ends the watching of the file. Closing twice is fine.
func (l *Ledger) Close() error { return l.watcher.close() }

// entered is the Data of a Principal: where it came from, and what Next said of it.
type entered struct {
	remote string
	next   *shoal.Principal // nil if the ledger itself let it in
}

// Unwrap returns what the next Authenticator returned; nil if none was asked.
func (e *entered) Unwrap() *shoal.Principal { return e.next }

func remoteOf(c *shoal.Credentials) string {
	if c.RemoteAddr == nil {
		return ""
	}
	return c.RemoteAddr.String()
}

// Authenticate implements shoal.Authenticator.
func (l *Ledger) Authenticate(ctx context.Context, c *shoal.Credentials) (*shoal.Principal, error) {
	allowed, decided := l.now.Load().login(c, l.cfg.Next != nil)
	switch {
	case allowed:
		return &shoal.Principal{Name: c.UserName, Data: &entered{remote: remoteOf(c)}}, nil
	case decided && l.cfg.Next != nil:
		return nil, banned
	case decided || l.cfg.Next == nil:
		return nil, &shoal.Error{ReasonCode: packets.BadUserNameOrPassword}
	}
	p, err := l.cfg.Next.Authenticate(ctx, l.inner(c))
	if err != nil {
		return nil, err
	}
	return wrap(p, c), nil
}

var banned = &shoal.Error{ReasonCode: packets.Banned, Reason: "the client is on the blacklist"}

func wrap(p *shoal.Principal, c *shoal.Credentials) *shoal.Principal {
	if p == nil {
		p = &shoal.Principal{Name: c.UserName}
	}
	return &shoal.Principal{
		Name: p.Name, Data: &entered{remote: remoteOf(c), next: p}, Expires: p.Expires, ClientID: p.ClientID,
	}
}

// inner are credentials as Next must see them.
func (l *Ledger) inner(c *shoal.Credentials) *shoal.Credentials {
	if e := enteredOf(c.Principal); e != nil {
		own := *c
		own.Principal = e.next
		return &own
	}
	return c
}

func enteredOf(p *shoal.Principal) *entered {
	if p == nil {
		return nil
	}
	e, _ := p.Data.(*entered)
	return e
}

// login says whether the ledger lets a client in; decided is false if it has nothing to say.
func (l *ledger) login(c *shoal.Credentials, blacklist bool) (allowed, decided bool) {
	if u := l.users[c.UserName]; u != nil && !blacklist && u.Password != "" &&
		u.Password.matchesSecret(c.Password) {
		return !u.Disallow, true
	}
	remote := remoteOf(c)
	for i := range l.auth {
		r := &l.auth[i]
		if r.matches(c.ClientID, c.UserName, remote) && (blacklist || r.Password.matchesSecret(c.Password)) {
			return r.Allow, true
		}
	}
	return false, false
}

// Authorize implements shoal.Authorizer.
func (l *Ledger) Authorize(ctx context.Context, r *shoal.AccessRequest) error {
	e := enteredOf(r.Principal)
	switch d := l.now.Load().decide(r, e, l.cfg.Next != nil); {
	case d == acl.Denied:
		return &shoal.Error{ReasonCode: packets.NotAuthorized, Reason: "the ledger does not allow it"}
	case d == acl.Allowed || l.cfg.Next == nil:
		return nil
	}
	next, ok := l.cfg.Next.(shoal.Authorizer)
	if !ok {
		return nil
	}
	if e != nil {
		own := *r
		own.Principal = e.next
		if own.Principal == nil { // whom the blacklist let in, Next has no Data of
			own.Principal = &shoal.Principal{Name: r.Principal.Name}
		}
		r = &own
	}
	return next.Authorize(ctx, r)
}

// decide says what the ledger says of a request.
func (l *ledger) decide(r *shoal.AccessRequest, e *entered, blacklist bool) acl.Decision {
	var name, remote string
	if r.Principal != nil {
		name = r.Principal.Name
	}
	if e != nil {
		remote = e.remote
	}
	if u := l.users[name]; u != nil && !blacklist {
		if d := u.access.Decide(r); d != acl.NoMatch {
			return d
		}
	}
	for i := range l.acl {
		rule := &l.acl[i]
		if !rule.matches(r.ClientID, name, remote) {
			// Where a client came from is not known in the will of one whose node was lost: what a
			// rule denies is denied then, and nothing allowed.
			if e != nil || !rule.Client.matches(r.ClientID) || !rule.Username.matches(name) {
				continue
			}
			if rule.access.Decide(r) == acl.Denied {
				return acl.Denied
			}
			continue
		}
		if len(rule.Filters) == 0 {
			return acl.Allowed
		}
		if d := rule.access.Decide(r); d != acl.NoMatch {
			return d
		}
	}
	return acl.NoMatch
}

// AuthenticationMethods implements shoal.EnhancedAuthenticator: those of Next.
func (l *Ledger) AuthenticationMethods() []string {
	if e, ok := l.cfg.Next.(shoal.EnhancedAuthenticator); ok {
		return e.AuthenticationMethods()
	}
	return nil
}

// BeginAuthentication implements shoal.EnhancedAuthenticator: Next authenticates whom the file does
// not refuse.
func (l *Ledger) BeginAuthentication(
	ctx context.Context, c *shoal.Credentials, method string,
) (shoal.AuthenticationExchange, error) {
	e, ok := l.cfg.Next.(shoal.EnhancedAuthenticator)
	if !ok {
		return nil, &shoal.Error{ReasonCode: packets.BadAuthenticationMethod}
	}
	if allowed, decided := l.now.Load().login(c, true); decided && !allowed {
		return nil, banned
	}
	x, err := e.BeginAuthentication(ctx, l.inner(c), method)
	if err != nil {
		return nil, err
	}
	return &exchange{x, c}, nil
}

// exchange wraps the Principal of one of Next.
type exchange struct {
	shoal.AuthenticationExchange
	c *shoal.Credentials
}

// Step implements shoal.AuthenticationExchange.
func (x *exchange) Step(ctx context.Context, data []byte) (shoal.AuthenticationStep, error) {
	step, err := x.AuthenticationExchange.Step(ctx, data)
	if err == nil && step.Done {
		step.Principal = wrap(step.Principal, x.c)
	}
	return step, err
}
