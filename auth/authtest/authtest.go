package authtest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/auth/acl"
	"github.com/shoalmq/shoal/auth/source"
	"github.com/shoalmq/shoal/packets"
)

// The users that a source under test must know, and their passwords.
const (
	// User may do what Access says.
	User = "ann"
	// Password is User's.
	Password = "lovelace"
	// DisabledUser may not connect. Suite.NoDisabled leaves it out.
	DisabledUser = "bob"
	// DisabledPassword is DisabledUser's.
	DisabledPassword = "builder"
	// PlainUser has no rules.
	PlainUser = "cat"
	// PlainPassword is PlainUser's.
	PlainPassword = "meow"
)

// Access is what User may do, as filters and comqtt's access numbers: 0 nothing, 1 subscribe, 2
// publish, 3 both.
func Access() map[string]int {
	return map[string]int{"a/ann/#": 3, "a/ann/secret": 0, "news/+": 1, "up/+": 2}
}

// Rules are Access as rules.
func Rules() []acl.Rule {
	return []acl.Rule{
		{Effect: acl.Allow, Filter: "a/ann/#"},
		{Effect: acl.Deny, Filter: "a/ann/secret"},
		{Effect: acl.Allow, Actions: acl.Subscribe, Filter: "news/+"},
		{Effect: acl.Allow, Actions: acl.Publish, Filter: "up/+"},
	}
}

// Suite is a source under test.
type Suite struct {
	// Open returns an Authenticator for users and rules as they are above. It takes from cfg what it
	// does not set itself. The suite closes it.
	Open func(t *testing.T, cfg source.Config) *source.Authenticator
	// Credentials returns what a client presents. Default: user name and password.
	Credentials func(user, password string) *shoal.Credentials
	// NoPasswords: what a client presents is no password, so that there is no wrong one.
	NoPasswords bool
	// NoDisabled: the source cannot have users who may not connect.
	NoDisabled bool
	// CanonicalNames: names are found in other spellings, too, but the principal has the one that
	// is stored.
	CanonicalNames bool
	// RulesWithLogin: the source knows rules only of clients that it has let in.
	RulesWithLogin bool
	// Down takes the source away, and Up brings it back. Without them that is not tried.
	Down, Up func(t *testing.T)
}

// Run runs the contract.
func Run(t *testing.T, s Suite) {
	if s.Credentials == nil {
		s.Credentials = func(user, password string) *shoal.Credentials {
			return &shoal.Credentials{
				ClientID: "client-of-" + user, UserName: user, HasUserName: user != "",
				Password: []byte(password), HasPassword: password != "", Version: packets.V5,
			}
		}
	}
	for _, tc := range []struct {
		name string
		test func(*Suite, *testing.T)
	}{
		{"logins", (*Suite).logins},
		{"hostile names", (*Suite).hostileNames},
		{"rules", (*Suite).rules},
		{"together", (*Suite).together},
		{"ended contexts", (*Suite).endedContexts},
		{"close", (*Suite).closing},
		{"down", (*Suite).down},
	} {
		t.Run(tc.name, func(t *testing.T) { tc.test(&s, t) })
	}
}

func (s *Suite) open(t *testing.T, cfg source.Config) *source.Authenticator {
	t.Helper()
	if cfg.Timeout == 0 {
		cfg.Timeout = 20 * time.Second // the machine may be busy
	}
	a := s.Open(t, cfg)
	require.NotNil(t, a)
	t.Cleanup(func() { require.NoError(t, a.Close()) })
	return a
}

// Login lets a client in, or fails the test.
func Login(t testing.TB, a shoal.Authenticator, c *shoal.Credentials) *shoal.Principal {
	t.Helper()
	p, err := a.Authenticate(t.Context(), c)
	require.NoError(t, err)
	require.NotNil(t, p)
	return p
}

// RequireCode fails the test unless err carries a reason code.
func RequireCode(t testing.TB, want packets.ReasonCode, err error, msg ...any) {
	t.Helper()
	require.Error(t, err, msg...)
	require.Equal(t, want, shoal.ReasonCodeOf(err, packets.Success), "%v: %v", err, fmt.Sprint(msg...))
}

func (s *Suite) logins(t *testing.T) {
	for _, ttl := range []time.Duration{-1, time.Minute} {
		a := s.open(t, source.Config{TTL: ttl, NegativeTTL: ttl})
		for range 2 { // the second time perhaps from the cache
			require.Equal(t, User, Login(t, a, s.Credentials(User, Password)).Name)
			require.Equal(t, PlainUser, Login(t, a, s.Credentials(PlainUser, PlainPassword)).Name)
			refused := [][2]string{{"nobody", Password}, {"", Password}, {"", ""}}
			if !s.NoPasswords {
				refused = append(refused, [2]string{User, PlainPassword}, [2]string{User, Password + "x"},
					[2]string{User, strings.ToUpper(Password)}, [2]string{User, ""}, [2]string{User, " "},
					[2]string{PlainUser, Password})
			}
			for _, who := range refused {
				p, err := a.Authenticate(t.Context(), s.Credentials(who[0], who[1]))
				RequireCode(t, packets.BadUserNameOrPassword, err, who)
				require.Nil(t, p)
				require.NotContains(t, err.Error(), Password)
			}
			if !s.NoDisabled {
				_, err := a.Authenticate(t.Context(), s.Credentials(DisabledUser, DisabledPassword))
				require.Error(t, err, "a disabled user")
				require.NotEqual(t, packets.ServerUnavailable, shoal.ReasonCodeOf(err, packets.Success))
			}
		}
	}
}

// hostileNames must be unknown, and nothing else: they are put into queries, filters and paths.
func (s *Suite) hostileNames(t *testing.T) {
	a := s.open(t, source.Config{})
	for _, name := range []string{
		"*", "ann*", "a*", "ann)(uid=*", "*)(uid=*))(|(uid=*", "ann' OR '1'='1", "' OR 1=1 -- ", "ann'--", `ann"`, "ann\\", `\`,
		"ann;drop table auth", "ann\x01", "%", "an_", "ann%00", "ann&user=cat", "ann\r\nX: y", "../ann", "ann#", "ann?x", "+", "#", "ann/+",
		"ANN", "Ann", " ann", "ann ", "å", "ann,dc=example", "=ann", "<ann", strings.Repeat("x", 60_000), "$argon2id$", "{}", "null", "0", "true",
	} {
		p, err := a.Authenticate(t.Context(), s.Credentials(name, Password))
		if s.CanonicalNames && err == nil {
			require.Equal(t, User, p.Name)
			require.Equal(t, User, strings.ToLower(strings.TrimSpace(name)))
			continue
		}
		require.Error(t, err, "%.40q", name)
		RequireCode(t, packets.BadUserNameOrPassword, err, fmt.Sprintf("%.40q", name))
	}
	require.Equal(t, User, Login(t, a, s.Credentials(User, Password)).Name)
}

// Decisions are what User may and may not do, by Access.
var decisions = []struct {
	action  shoal.Action
	topic   string
	allowed bool
}{
	{shoal.ActionPublish, "a/ann/x", true},
	{shoal.ActionPublish, "a/ann", true},
	{shoal.ActionPublish, "a/ann/x/y", true},
	{shoal.ActionPublish, "a/ann/secret", false},
	{shoal.ActionPublish, "a/anna/x", false},
	{shoal.ActionPublish, "a/bob/x", false},
	{shoal.ActionPublish, "news/x", false},
	{shoal.ActionPublish, "up/x", true},
	{shoal.ActionPublish, "up/x/y", false}, // no prefix
	{shoal.ActionPublish, "up", false},
	{shoal.ActionSubscribe, "a/ann/x", true},
	{shoal.ActionSubscribe, "a/ann/x/#", true},
	{shoal.ActionSubscribe, "a/ann/secret", false},
	{shoal.ActionSubscribe, "news/x", true},
	{shoal.ActionSubscribe, "news/+", true},
	{shoal.ActionSubscribe, "news/#", false},
	{shoal.ActionSubscribe, "up/x", false},
	{shoal.ActionSubscribe, "#", false},
	{shoal.ActionSubscribe, "+/ann/x", false},
	{shoal.ActionSubscribe, "$SYS/#", false},
}

func (s *Suite) rules(t *testing.T) {
	a := s.open(t, source.Config{})
	ann := Login(t, a, s.Credentials(User, Password))
	cat := Login(t, a, s.Credentials(PlainUser, PlainPassword))
	whoIs := []*shoal.Principal{ann, ann} // the second time perhaps from the cache
	if !s.RulesWithLogin {
		whoIs = append(whoIs, &shoal.Principal{Name: User}) // whose node was lost
	}
	for _, p := range whoIs {
		for _, d := range decisions {
			r := &shoal.AccessRequest{ClientID: "client-of-" + User, Principal: p, Action: d.action, Topic: d.topic}
			err := a.Authorize(t.Context(), r)
			if d.allowed {
				require.NoError(t, err, "%s %s", d.action, d.topic)
			} else {
				RequireCode(t, packets.NotAuthorized, err, d.action, " ", d.topic)
			}
			r.Principal, r.ClientID = cat, "client-of-"+PlainUser
			RequireCode(t, packets.NotAuthorized, a.Authorize(t.Context(), r), "without rules: ", d.topic)
		}
	}
	for _, p := range []*shoal.Principal{{Name: "nobody"}, {}, nil} {
		r := &shoal.AccessRequest{ClientID: "c", Principal: p, Action: shoal.ActionPublish, Topic: "a/ann/x"}
		RequireCode(t, packets.NotAuthorized, a.Authorize(t.Context(), r))
	}
}

func (s *Suite) together(t *testing.T) {
	a := s.open(t, source.Config{})
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			who, password := User, Password
			if i%4 == 0 {
				who, password = PlainUser, PlainPassword
			}
			p, err := a.Authenticate(t.Context(), s.Credentials(who, password))
			if err != nil || p.Name != who {
				t.Errorf("%v, %v", p, err)
				return
			}
			r := &shoal.AccessRequest{
				ClientID: "client-of-" + who, Principal: p, Action: shoal.ActionPublish, Topic: fmt.Sprint("a/ann/", i),
			}
			if err := a.Authorize(t.Context(), r); (err == nil) != (who == User) {
				t.Error(who, err)
			}
			if i%10 == 0 {
				a.Invalidate(who)
			}
		})
	}
	wg.Wait()
}

func (s *Suite) endedContexts(t *testing.T) {
	a := s.open(t, source.Config{TTL: -1, NegativeTTL: -1})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	began := time.Now()
	for range 10 { // it may be quicker than the context, but neither hang nor harm others
		p, err := a.Authenticate(ctx, s.Credentials(User, Password))
		require.NotEqual(t, p == nil, err == nil)
	}
	require.Less(t, time.Since(began), 15*time.Second)
	require.Equal(t, User, Login(t, a, s.Credentials(User, Password)).Name)
}

func (s *Suite) closing(t *testing.T) {
	a := s.open(t, source.Config{})
	Login(t, a, s.Credentials(User, Password))
	require.NoError(t, a.Close())
	require.NoError(t, a.Close())
	_, err := a.Authenticate(t.Context(), s.Credentials(PlainUser, PlainPassword))
	RequireCode(t, packets.ServerUnavailable, err)
}

// down holds that nobody is let in, and nobody waits for long, while the source is away.
func (s *Suite) down(t *testing.T) {
	if s.Down == nil {
		t.Skip("this source cannot be down")
	}
	a := s.open(t, source.Config{TTL: -1, NegativeTTL: -1, Timeout: 2 * time.Second})
	ann := Login(t, a, s.Credentials(User, Password))
	s.Down(t)
	up := false
	defer func() {
		if !up {
			s.Up(t)
		}
	}()
	began := time.Now()
	_, err := a.Authenticate(t.Context(), s.Credentials(PlainUser, PlainPassword))
	RequireCode(t, packets.ServerUnavailable, err)
	if !s.RulesWithLogin {
		r := &shoal.AccessRequest{Principal: ann, Action: shoal.ActionPublish, Topic: "a/ann/x", ClientID: "client-of-" + User}
		RequireCode(t, packets.ServerUnavailable, a.Authorize(t.Context(), r))
	}
	require.Less(t, time.Since(began), 15*time.Second, "two questions of two seconds")
	up = true
	s.Up(t)
	require.Eventually(t, func() bool {
		_, err := a.Authenticate(t.Context(), s.Credentials(User, Password))
		return err == nil
	}, 60*time.Second, 50*time.Millisecond, "it does not recover")
	require.Positive(t, a.Stats().Failures)
}
