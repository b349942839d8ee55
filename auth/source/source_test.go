package source_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/auth/acl"
	"github.com/shoalmq/shoal/auth/authtest"
	"github.com/shoalmq/shoal/auth/password"
	"github.com/shoalmq/shoal/auth/source"
	"github.com/shoalmq/shoal/packets"
)

// place is a Source in memory whose answers may be slow or errors.
type place struct {
	mu    sync.Mutex
	users map[string]source.User
	rules map[string][]acl.Rule
	err   error
	delay time.Duration

	users_, rules_ atomic.Int64 // questions
}

func newPlace() *place {
	return &place{
		users: map[string]source.User{
			authtest.User:         {Hash: authtest.Password},
			authtest.DisabledUser: {Hash: authtest.DisabledPassword, Disabled: true},
			authtest.PlainUser:    {Hash: authtest.PlainPassword},
		},
		rules: map[string][]acl.Rule{authtest.User: authtest.Rules()},
	}
}

func (p *place) wait(ctx context.Context) error {
	p.mu.Lock()
	delay, err := p.delay, p.err
	p.mu.Unlock()
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return err
}

func (p *place) set(fn func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fn()
}

func (p *place) User(ctx context.Context, q *source.Query) (*source.User, error) {
	p.users_.Add(1)
	if err := p.wait(ctx); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	u, ok := p.users[q.Name]
	if !ok {
		return nil, source.ErrUnknownUser
	}
	return &u, nil
}

func (p *place) Rules(ctx context.Context, s *source.Subject) (*acl.List, error) {
	p.rules_.Add(1)
	if err := p.wait(ctx); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return acl.Compile(acl.DenyWins, p.rules[s.Name])
}

var plain = password.Format{Algorithm: password.Plain}

func open(t testing.TB, s source.Source, cfg source.Config) *source.Authenticator {
	t.Helper()
	cfg.Passwords = plain
	return openHashed(t, s, cfg)
}

// openHashed is open for a source whose hashes say how they were made.
func openHashed(t testing.TB, s source.Source, cfg source.Config) *source.Authenticator {
	t.Helper()
	a, err := source.New(s, cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, a.Close()) })
	return a
}

func user(name, password string) *shoal.Credentials {
	return &shoal.Credentials{UserName: name, Password: []byte(password), HasUserName: true, HasPassword: true, ClientID: "c-" + name}
}

var ann = user(authtest.User, authtest.Password)

func publish(p *shoal.Principal, topic string) *shoal.AccessRequest {
	return &shoal.AccessRequest{ClientID: "c-" + p.Name, Principal: p, Action: shoal.ActionPublish, Topic: topic}
}

func TestContract(t *testing.T) {
	p := newPlace()
	authtest.Run(t, authtest.Suite{
		Open: func(t *testing.T, cfg source.Config) *source.Authenticator {
			cfg.Passwords = plain
			a, err := source.New(p, cfg)
			require.NoError(t, err)
			return a
		},
		Down: func(*testing.T) { p.set(func() { p.err = errors.New("away") }) },
		Up:   func(*testing.T) { p.set(func() { p.err = nil }) },
	})
}

func TestAnswersAreCached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace()
		a := open(t, p, source.Config{TTL: time.Minute, NegativeTTL: 5 * time.Second})
		for range 10 {
			who := authtest.Login(t, a, ann)
			require.NoError(t, a.Authorize(t.Context(), publish(who, "a/ann/x")))
			_, err := a.Authenticate(t.Context(), user(authtest.User, "wrong"))
			authtest.RequireCode(t, packets.BadUserNameOrPassword, err)
			_, err = a.Authenticate(t.Context(), user("nobody", "x"))
			authtest.RequireCode(t, packets.BadUserNameOrPassword, err)
		}
		require.EqualValues(t, 2, p.users_.Load(), "ann and nobody")
		require.EqualValues(t, 1, p.rules_.Load())
		time.Sleep(6 * time.Second)
		_, err := a.Authenticate(t.Context(), user("nobody", "x"))
		require.Error(t, err)
		authtest.Login(t, a, ann)
		require.EqualValues(t, 3, p.users_.Load(), "nobody is forgotten sooner")
		time.Sleep(time.Minute)
		who := authtest.Login(t, a, ann)
		require.NoError(t, a.Authorize(t.Context(), publish(who, "a/ann/x")))
		require.EqualValues(t, 4, p.users_.Load())
		require.EqualValues(t, 2, p.rules_.Load())

		s := a.Stats()
		require.EqualValues(t, 6, s.Questions)
		require.EqualValues(t, 12, s.Logins)
		require.EqualValues(t, 10, s.BadPasswords)
		require.EqualValues(t, 11, s.UnknownUsers)
		require.EqualValues(t, 11, s.Allowed)
		require.Positive(t, s.Hits)
		require.Equal(t, s.Questions, s.Misses)
	})
}

func TestCacheIsBounded(t *testing.T) {
	p := newPlace()
	a := open(t, p, source.Config{Entries: 10})
	for i := range 100 {
		_, _ = a.Authenticate(t.Context(), user(fmt.Sprint("nobody", i), "x"))
		_ = a.Authorize(t.Context(), publish(&shoal.Principal{Name: fmt.Sprint("nobody", i)}, "x"))
	}
	require.Equal(t, 20, a.Stats().Entries)
	require.EqualValues(t, 180, a.Stats().Evicted)
	asked := p.users_.Load()
	authtest.Login(t, a, ann)
	for i := range 50 { // what is used stays
		_, _ = a.Authenticate(t.Context(), user(fmt.Sprint("other", i), "x"))
		authtest.Login(t, a, ann)
	}
	require.Equal(t, asked+51, p.users_.Load())
}

func TestInvalidate(t *testing.T) {
	p := newPlace()
	a := open(t, p, source.Config{})
	heard := 0
	a.OnInvalidate(func() { heard++ })
	who := authtest.Login(t, a, ann)
	authtest.Login(t, a, user(authtest.PlainUser, authtest.PlainPassword))
	require.NoError(t, a.Authorize(t.Context(), publish(who, "a/ann/x")))
	p.set(func() {
		p.users[authtest.User] = source.User{Hash: "changed"}
		p.rules[authtest.User] = nil
	})
	authtest.Login(t, a, ann)
	require.NoError(t, a.Authorize(t.Context(), publish(who, "a/ann/x")))
	a.Invalidate(authtest.PlainUser)
	authtest.Login(t, a, ann)
	a.Invalidate(authtest.User)
	_, err := a.Authenticate(t.Context(), ann)
	authtest.RequireCode(t, packets.BadUserNameOrPassword, err)
	authtest.RequireCode(t, packets.NotAuthorized, a.Authorize(t.Context(), publish(who, "a/ann/x")))
	require.Equal(t, 2, heard)
	p.set(func() { p.rules[authtest.User] = authtest.Rules() })
	a.InvalidateAll()
	require.NoError(t, a.Authorize(t.Context(), publish(who, "a/ann/x")))
	require.Equal(t, 3, heard)
}

// TestInvalidateMeetsAnswersOnTheirWay holds that an answer from before an invalidation is not kept.
func TestInvalidateMeetsAnswersOnTheirWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace()
		p.delay = time.Second
		a := open(t, p, source.Config{})
		go func() { _, _ = a.Authenticate(t.Context(), ann) }()
		time.Sleep(500 * time.Millisecond)
		a.Invalidate(authtest.User)
		time.Sleep(time.Second)
		require.EqualValues(t, 1, p.users_.Load())
		require.Zero(t, a.Stats().Entries)
		authtest.Login(t, a, ann)
		require.EqualValues(t, 2, p.users_.Load())
	})
}

func TestConcurrentQuestionsAreAskedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace()
		p.delay = time.Second
		a := open(t, p, source.Config{})
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				who, err := a.Authenticate(t.Context(), ann)
				require.NoError(t, err)
				require.NoError(t, a.Authorize(t.Context(), publish(who, "a/ann/x")))
			})
		}
		wg.Wait()
		require.EqualValues(t, 1, p.users_.Load())
		require.EqualValues(t, 1, p.rules_.Load())
	})
}

// TestOneClientsContextEndsNoQuestionOfOthers holds that a shared question is nobody's own.
func TestOneClientsContextEndsNoQuestionOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace()
		p.delay = 2 * time.Second
		a := open(t, p, source.Config{})
		ctx, cancel := context.WithCancel(t.Context())
		left := make(chan error, 1)
		go func() {
			_, err := a.Authenticate(ctx, ann)
			left <- err
		}()
		time.Sleep(time.Second)
		stays := make(chan error, 1)
		go func() {
			_, err := a.Authenticate(t.Context(), ann)
			stays <- err
		}()
		synctest.Wait()
		began := time.Now()
		cancel()
		require.Error(t, <-left)
		require.Zero(t, time.Since(began))
		require.NoError(t, <-stays)
		require.Equal(t, time.Second, time.Since(began))
	})
}

// TestStalledSourceStallsNobodyElse holds that clients whose answers are cached, and sources beside
// it, do not wait, and that who waits is refused in time.
func TestStalledSourceStallsNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace()
		a := open(t, p, source.Config{Timeout: 3 * time.Second, TTL: time.Hour})
		who := authtest.Login(t, a, ann)
		require.NoError(t, a.Authorize(t.Context(), publish(who, "a/ann/x")))
		p.set(func() { p.delay = time.Hour })
		began := time.Now()
		var wg sync.WaitGroup
		for i := range 200 { // more than may ask at once
			wg.Go(func() {
				_, err := a.Authenticate(t.Context(), user(fmt.Sprint("u", i), "x"))
				authtest.RequireCode(t, packets.ServerUnavailable, err)
				require.LessOrEqual(t, time.Since(began), 3*time.Second)
			})
		}
		synctest.Wait()
		authtest.Login(t, a, ann)
		require.NoError(t, a.Authorize(t.Context(), publish(who, "a/ann/y")))
		require.Zero(t, time.Since(began))
		wg.Wait()

		// Now nobody waits at all, but for one who tries each second.
		began = time.Now()
		for range 100 {
			_, err := a.Authenticate(t.Context(), user("someone", "x"))
			authtest.RequireCode(t, packets.ServerUnavailable, err)
		}
		require.Zero(t, time.Since(began))
		require.EqualValues(t, 100, a.Stats().Broken)
		p.set(func() { p.delay = 0 })
		time.Sleep(1100 * time.Millisecond)
		authtest.Login(t, a, user(authtest.PlainUser, authtest.PlainPassword))
		authtest.Login(t, a, ann)
	})
}

func TestWhenDown(t *testing.T) {
	for _, down := range []source.Down{source.Refuse, source.Stale, source.Allow} {
		t.Run(string(down), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlace()
				a := open(t, p, source.Config{TTL: time.Minute, StaleFor: time.Hour, WhenDown: down})
				who := authtest.Login(t, a, ann)
				require.NoError(t, a.Authorize(t.Context(), publish(who, "a/ann/x")))
				p.set(func() { p.err = errors.New("away") })
				try := func() (known, wrong, other, may, mayNot error) {
					_, known = a.Authenticate(t.Context(), ann)
					_, wrong = a.Authenticate(t.Context(), user(authtest.User, "wrong"))
					_, other = a.Authenticate(t.Context(), user(authtest.PlainUser, "wrong"))
					may = a.Authorize(t.Context(), publish(who, "a/ann/x"))
					mayNot = a.Authorize(t.Context(), publish(who, "b"))
					return
				}
				time.Sleep(2 * time.Minute)
				known, wrong, other, may, mayNot := try()
				if down == source.Refuse {
					for _, err := range []error{known, wrong, other, may, mayNot} {
						authtest.RequireCode(t, packets.ServerUnavailable, err)
					}
					return
				}
				require.NoError(t, known)
				require.NoError(t, may)
				authtest.RequireCode(t, packets.BadUserNameOrPassword, wrong, "of whom there is an old answer")
				authtest.RequireCode(t, packets.NotAuthorized, mayNot)
				require.Equal(t, down == source.Allow, other == nil)
				require.Positive(t, a.Stats().StaleAnswers)
				time.Sleep(time.Hour)
				known, wrong, other, may, mayNot = try()
				for _, err := range []error{known, wrong, other, may, mayNot} {
					require.Equal(t, down == source.Allow, err == nil)
				}
				if down == source.Allow {
					require.EqualValues(t, 6, a.Stats().AllowedDown)
				}
			})
		})
	}
}

// TestPasswordsAreNotInMemory holds that neither keys nor values of the cache contain a password.
func TestPasswordsAreNotInMemory(t *testing.T) {
	p := newPlace()
	stored, err := password.Make(password.Mosquitto, []byte(authtest.Password))
	require.NoError(t, err)
	p.users[authtest.User] = source.User{Hash: stored}
	p.users["verified"] = source.User{Verified: true}
	a := openHashed(t, p, source.Config{})
	authtest.Login(t, a, ann)
	authtest.Login(t, a, user("verified", authtest.Password))
	_, err = a.Authenticate(t.Context(), user("verified", "other"))
	require.NoError(t, err, "as the source says")
	require.EqualValues(t, 3, p.users_.Load(), "what the source verified is cached for that password only")
	for _, key := range a.CacheKeys() {
		require.NotContains(t, key, authtest.Password)
		require.NotContains(t, key, "other")
	}
}

// TestSlowHashIsComputedOnce holds that a password that was right needs no slow hash again, and that
// a wrong one does.
func TestSlowHashIsComputedOnce(t *testing.T) {
	p := newPlace()
	stored, err := password.Make(password.Bcrypt, []byte(authtest.Password))
	require.NoError(t, err)
	p.users[authtest.User] = source.User{Hash: stored}
	l := password.NewLimiter(1)
	a := openHashed(t, p, source.Config{Limiter: l})
	for range 5 {
		authtest.Login(t, a, ann)
	}
	require.EqualValues(t, 1, l.Stats().Verified)
	for range 2 {
		_, err = a.Authenticate(t.Context(), user(authtest.User, "wrong"))
		authtest.RequireCode(t, packets.BadUserNameOrPassword, err)
	}
	require.EqualValues(t, 3, l.Stats().Verified)
	_, err = a.Authenticate(t.Context(), user("nobody", "x"))
	authtest.RequireCode(t, packets.BadUserNameOrPassword, err)
	require.EqualValues(t, 4, l.Stats().Verified, "an unknown user takes as long as a wrong password")
}

// odd is a Source that misbehaves.
type odd struct{ place }

func (o *odd) User(ctx context.Context, q *source.Query) (*source.User, error) {
	switch q.Name {
	case "panic":
		panic("at the disco")
	case "nil":
		return nil, nil //nolint:nilnil // what is tried
	case "malformed":
		return nil, fmt.Errorf("%w: no password", source.ErrMalformed)
	case "hash":
		return &source.User{Hash: "$argon2id$v=19$m=67108864,t=1,p=1$AAAA$AAAA"}, nil
	case "neither":
		return &source.User{}, nil
	case "expired":
		return &source.User{Verified: true, Expires: time.Now().Add(-time.Second)}, nil
	case "expires":
		return &source.User{Verified: true, Expires: time.Now().Add(time.Minute), Superuser: true}, nil
	case "renamed":
		return &source.User{Verified: true, Name: "other", Attributes: map[string]string{"tenant": "t1"}}, nil
	case "refused":
		return nil, source.ErrRefused
	}
	return o.place.User(ctx, q)
}

func (o *odd) Rules(_ context.Context, s *source.Subject) (*acl.List, error) {
	if s.Name == "panic" {
		panic("again")
	}
	return acl.Compile(acl.DenyWins, []acl.Rule{{Effect: acl.Allow, Filter: "t/%{tenant}"}, {Effect: acl.Allow, Filter: "a#"}})
}

func TestOddAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logged bytes.Buffer
		a := openHashed(t, &odd{place: *newPlace()}, source.Config{
			Logger: slog.New(slog.NewTextHandler(&logged, nil)),
		})
		for name, want := range map[string]packets.ReasonCode{
			"panic": packets.ServerUnavailable, "nil": packets.ServerUnavailable,
			"malformed": packets.BadUserNameOrPassword, "hash": packets.BadUserNameOrPassword,
			"neither": packets.BadUserNameOrPassword, "expired": packets.NotAuthorized, "refused": packets.BadUserNameOrPassword,
		} {
			_, err := a.Authenticate(t.Context(), user(name, "x"))
			authtest.RequireCode(t, want, err, name)
		}
		for range 20 { // is nobody else's misfortune
			_, _ = a.Authenticate(t.Context(), user("malformed", "x"))
			time.Sleep(6 * time.Second)
		}
		require.Zero(t, a.Stats().Broken)
		who := authtest.Login(t, a, user("renamed", "x"))
		require.Equal(t, "other", who.Name)
		require.Equal(t, "t1", source.UserOf(who).Attributes["tenant"])
		require.NoError(t, a.Authorize(t.Context(), publish(who, "t/t1")))
		authtest.RequireCode(t, packets.NotAuthorized, a.Authorize(t.Context(), publish(who, "t/t2")))
		who = authtest.Login(t, a, user("expires", "x"))
		require.NoError(t, a.Authorize(t.Context(), publish(who, "any")))
		time.Sleep(2 * time.Minute)
		authtest.RequireCode(t, packets.NotAuthorized, a.Authorize(t.Context(), publish(who, "any")))
		authtest.RequireCode(t, packets.ServerUnavailable, a.Authorize(t.Context(), publish(&shoal.Principal{Name: "panic"}, "x")))
		require.Contains(t, logged.String(), "what is stored of a user cannot be understood")
		require.Contains(t, logged.String(), "rules cannot be understood")
		require.Nil(t, source.UserOf(nil))
		require.Nil(t, source.UserOf(&shoal.Principal{Data: 1}))
	})
}

// arbiter is a Judge.
type arbiter struct {
	place
	asked atomic.Int64
}

func (j *arbiter) Judge(ctx context.Context, _ *source.Subject, r *shoal.AccessRequest) (acl.Decision, error) {
	j.asked.Add(1)
	if err := j.wait(ctx); err != nil {
		return acl.NoMatch, err
	}
	if strings.HasPrefix(r.Topic, "a/") && !r.Retain {
		return acl.Allowed, nil
	}
	return acl.Denied, nil
}

func TestJudge(t *testing.T) {
	j := &arbiter{place: *newPlace()}
	a := open(t, j, source.Config{Everybody: []acl.Rule{{Effect: acl.Allow, Filter: "u/%u"}, {Effect: acl.Deny, Filter: "a/no"}}})
	who := authtest.Login(t, a, ann)
	for range 3 {
		require.NoError(t, a.Authorize(t.Context(), publish(who, "a/x")))
		require.NoError(t, a.Authorize(t.Context(), publish(who, "u/ann")))
		authtest.RequireCode(t, packets.NotAuthorized, a.Authorize(t.Context(), publish(who, "a/no")))
		authtest.RequireCode(t, packets.NotAuthorized, a.Authorize(t.Context(), publish(who, "b")))
		r := publish(who, "a/x")
		r.Retain = true
		authtest.RequireCode(t, packets.NotAuthorized, a.Authorize(t.Context(), r))
	}
	require.EqualValues(t, 3, j.asked.Load())
	a.Invalidate("ann")
	require.NoError(t, a.Authorize(t.Context(), publish(who, "a/x")))
	require.EqualValues(t, 4, j.asked.Load())
}

// keyed answers by the client ID, too.
type keyed struct{ place }

func (k *keyed) Key(q *source.Query) string { return q.Credentials.ClientID }

func TestKeyed(t *testing.T) {
	k := &keyed{place: *newPlace()}
	a := open(t, k, source.Config{})
	for _, id := range []string{"one", "two", "one"} {
		c := *ann
		c.ClientID = id
		authtest.Login(t, a, &c)
	}
	require.EqualValues(t, 2, k.users_.Load())
}

func TestByClientID(t *testing.T) {
	p := newPlace()
	p.rules["c-ann"] = []acl.Rule{{Effect: acl.Allow, Filter: "own/%c"}}
	a := open(t, p, source.Config{ACL: source.ByClientID})
	require.NoError(t, a.Authorize(t.Context(), publish(authtest.Login(t, a, ann), "own/c-ann")))
	b := open(t, p, source.Config{Login: source.ByClientID, ACL: source.Anyone})
	who := authtest.Login(t, b, &shoal.Credentials{ClientID: authtest.User, UserName: "root", Password: []byte(authtest.Password)})
	require.Equal(t, authtest.User, who.Name, "not the name that nobody has verified")
	require.NoError(t, b.Authorize(t.Context(), publish(who, "any")))
	_, err := b.Authenticate(t.Context(), &shoal.Credentials{UserName: authtest.User, Password: []byte(authtest.Password)})
	authtest.RequireCode(t, packets.BadUserNameOrPassword, err)
	c := open(t, p, source.Config{Login: source.Anyone})
	require.Equal(t, "x", authtest.Login(t, c, user("x", "")).Name)
	for mode, by := range []source.By{source.Anyone, source.ByUserName, source.ByClientID} {
		got, err := source.ComqttMode(mode)
		require.NoError(t, err)
		require.Equal(t, by, got)
	}
	_, err = source.ComqttMode(3)
	require.ErrorContains(t, err, "0 to 2")
}

func TestAnonymous(t *testing.T) {
	p := newPlace()
	p.rules[""] = []acl.Rule{{Effect: acl.Allow, Filter: "public/#"}, {Effect: acl.Allow, Filter: "%u/#"}}
	a := open(t, p, source.Config{Anonymous: true})
	who := authtest.Login(t, a, &shoal.Credentials{ClientID: "c"})
	require.NoError(t, a.Authorize(t.Context(), publish(who, "public/x")))
	authtest.RequireCode(t, packets.NotAuthorized, a.Authorize(t.Context(), publish(who, "/x")))
	_, err := a.Authenticate(t.Context(), user(authtest.User, ""))
	authtest.RequireCode(t, packets.BadUserNameOrPassword, err)
}

func TestConfigIsChecked(t *testing.T) {
	_, err := source.New(nil, source.Config{})
	require.ErrorContains(t, err, "nil")
	for want, cfg := range map[string]source.Config{
		"Login":     {Login: "x"},
		"ACL":       {ACL: "x"},
		"WhenDown":  {WhenDown: "x"},
		"Timeout":   {Timeout: -1},
		"Passwords": {Passwords: password.Format{Algorithm: "x"}},
		"Everybody": {Everybody: []acl.Rule{{Filter: "a#"}}},
	} {
		_, err := source.New(newPlace(), cfg)
		require.ErrorContains(t, err, "Config."+want)
	}
}

func BenchmarkAuthenticate(b *testing.B) {
	for name, ttl := range map[string]time.Duration{"cached": time.Minute, "cold": -1} {
		b.Run(name, func(b *testing.B) {
			a := open(b, newPlace(), source.Config{TTL: ttl, NegativeTTL: ttl})
			b.ReportAllocs()
			for b.Loop() {
				if _, err := a.Authenticate(b.Context(), ann); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAuthorize(b *testing.B) {
	for name, ttl := range map[string]time.Duration{"cached": time.Minute, "cold": -1} {
		b.Run(name, func(b *testing.B) {
			a := open(b, newPlace(), source.Config{TTL: ttl, NegativeTTL: ttl})
			r := publish(authtest.Login(b, a, ann), "a/ann/x")
			b.ReportAllocs()
			for b.Loop() {
				if err := a.Authorize(b.Context(), r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
