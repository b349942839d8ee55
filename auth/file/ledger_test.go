package file_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/auth/authtest"
	"github.com/shoalmq/shoal/auth/file"
	"github.com/shoalmq/shoal/auth/source"
	"github.com/shoalmq/shoal/packets"
)

func openLedger(t testing.TB, path string, next shoal.Authenticator) *file.Ledger {
	t.Helper()
	l, err := file.NewLedger(file.LedgerConfig{Path: path, Next: next})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	return l
}

func from(ip string, c *shoal.Credentials) *shoal.Credentials {
	c.RemoteAddr = &net.TCPAddr{IP: net.ParseIP(ip), Port: 4711}
	return c
}

const (
	pub = shoal.ActionPublish
	sub = shoal.ActionSubscribe
)

type decision struct {
	action  shoal.Action
	topic   string
	allowed bool
}

func requireDecisions(t *testing.T, z shoal.Authorizer, p *shoal.Principal, decisions []decision) {
	t.Helper()
	for _, d := range decisions {
		err := z.Authorize(t.Context(), request(p, d.action, d.topic))
		require.Equal(t, d.allowed, err == nil, "%s: %s %s: %v", p.Name, d.action, d.topic, err)
		if err != nil {
			authtest.RequireCode(t, packets.NotAuthorized, err)
		}
	}
}

// TestLedgerOfComqtt holds what the ledger of comqtt's embedded hook means.
func TestLedgerOfComqtt(t *testing.T) {
	l := openLedger(t, "testdata/ledger.yaml", nil)
	melon := authtest.Login(t, l, from("10.0.0.1", user("melon", "password2")))
	requireDecisions(t, l, melon, []decision{
		{pub, "melon/x", true},
		{sub, "melon/#", true},
		{pub, "updates/x", true},
		{sub, "updates/x", false},
		{sub, "other", true}, // by the last rule
		{pub, "other", false},
	})
	peach := authtest.Login(t, l, from("10.0.0.1", user("peach", "password1")))
	requireDecisions(t, l, peach, []decision{
		{sub, "a/b", true},
		{pub, "a/b", false},
		{sub, "updates/x", true}, // a filter that grants wins
		{pub, "updates/x", false},
		{pub, "$SYS/x", true}, // no rule says anything of it
	})
	requireDecisions(t, l, authtest.Login(t, l, from("127.0.0.1", user("peach", "password1"))), []decision{{pub, "any", true}})
	for _, c := range []*shoal.Credentials{user("melon", "password1"), user("melon", ""), user("nobody", "password1"), user("", "")} {
		_, err := l.Authenticate(t.Context(), from("10.0.0.1", c))
		authtest.RequireCode(t, packets.BadUserNameOrPassword, err)
	}
	// A client whose node was lost has a name only; where it came from is not known.
	requireDecisions(t, l, &shoal.Principal{Name: "peach"}, []decision{{pub, "a/b", false}, {sub, "a/b", true}})
	require.Empty(t, l.AuthenticationMethods())
}

func TestLedgerInJSON(t *testing.T) {
	l := openLedger(t, write(t, "", `{
	"users": {
		"ann": {"username": "ann", "password": "secret", "acl": {"a/#": 3, "a/b": 1}},
		"off": {"password": "secret", "disallow": true}
	},
	"auth": [{"client": "dev-*", "password": "p*", "allow": true}, {"username": "*", "allow": false}],
	"acl": [{"username": "ann", "filters": {"z": 2}}]
}`), nil)
	ann := authtest.Login(t, l, user("ann", "secret"))
	requireDecisions(t, l, ann, []decision{
		{pub, "a/x", true}, {pub, "a/b", false}, {sub, "a/b", true}, {pub, "z", true}, {sub, "z", false}, {pub, "other", true},
	})
	for _, c := range []*shoal.Credentials{user("off", "secret"), user("ann", "wrong"), {ClientID: "dev-1", Password: []byte("p")}, {ClientID: "dev-", Password: []byte("pass")}} {
		_, err := l.Authenticate(t.Context(), c)
		authtest.RequireCode(t, packets.BadUserNameOrPassword, err)
	}
	authtest.Login(t, l, &shoal.Credentials{ClientID: "dev-1", Password: []byte("pass")})
}

// TestRemoteThatIsNotKnown holds that, in the will of a client whose node was lost, a rule for certain
// addresses denies what it denies, and allows nothing.
func TestRemoteThatIsNotKnown(t *testing.T) {
	l := openLedger(t, write(t, "", "auth: [{allow: true}]\nacl:\n- {remote: 10.*, filters: {x: 0, y: 3}}\n- {filters: {y: 0}}\n"), nil)
	requireDecisions(t, l, &shoal.Principal{Name: "ann"}, []decision{{pub, "x", false}, {pub, "y", false}, {pub, "z", true}})
	inside := authtest.Login(t, l, from("10.0.0.1", user("ann", "x")))
	requireDecisions(t, l, inside, []decision{{pub, "x", false}, {pub, "y", true}, {pub, "z", true}})
	outside := authtest.Login(t, l, from("11.0.0.1", user("ann", "x")))
	requireDecisions(t, l, outside, []decision{{pub, "x", true}, {pub, "y", false}, {pub, "z", true}})
}

func contractUsers(t *testing.T) *file.Authenticator {
	return open(t, file.Config{Path: contractFile(t), NoWatch: true})
}

// TestBlacklistOfComqtt holds what comqtt's shipped blacklist.yml means in front of other users.
func TestBlacklistOfComqtt(t *testing.T) {
	l := openLedger(t, "testdata/blacklist.yml", contractUsers(t))
	cred := func(ip, id string) *shoal.Credentials {
		c := from(ip, user(authtest.User, authtest.Password))
		c.ClientID = id
		return c
	}
	_, err := l.Authenticate(t.Context(), cred("10.0.0.1", "comqtt_7e8af7a4"))
	authtest.RequireCode(t, packets.Banned, err)
	_, err = l.Authenticate(t.Context(), cred("203.0.113.66", "c"))
	authtest.RequireCode(t, packets.Banned, err)
	local := authtest.Login(t, l, from("127.0.0.1", user("anyone", "")))
	requireDecisions(t, l, local, []decision{{pub, "any", true}, {sub, "#", true}, {sub, "$SYS/#", true}})
	_, err = l.Authenticate(t.Context(), from("10.0.0.1", user(authtest.User, "wrong")))
	authtest.RequireCode(t, packets.BadUserNameOrPassword, err)

	ann := authtest.Login(t, l, cred("10.0.0.1", "c"))
	require.Equal(t, authtest.User, ann.Name)
	require.NotNil(t, source.UserOf(ann))
	// Everything is denied by '#', whatever the others are.
	requireDecisions(t, l, ann, []decision{{pub, "a/ann/x", false}, {sub, "$SYS/x", false}, {sub, "a/ann/x", false}})
	requireDecisions(t, l, &shoal.Principal{Name: "dashboard"}, []decision{{sub, "$SYS/#", true}, {pub, "$SYS/x", false}})
}

func TestBlacklistAsksNext(t *testing.T) {
	path := write(t, "", `
auth: [{username: eve*, allow: false}]
acl:
  - {client: c-ann, filters: {up/x: 0, a/ann/x/#: 1}}
`)
	l := openLedger(t, path, contractUsers(t))
	ann := authtest.Login(t, l, user(authtest.User, authtest.Password))
	requireDecisions(t, l, ann, []decision{
		{pub, "up/x", false},
		{pub, "up/y", true}, // by Next
		{sub, "up/y", false},
		{pub, "a/ann/x/y", false},
		{sub, "a/ann/x/y", true},
		{pub, "a/ann/y", true},
		{pub, "other", false},
	})
	_, err := l.Authenticate(t.Context(), user("evelyn", "x"))
	authtest.RequireCode(t, packets.Banned, err)
	// Changes take effect.
	heard := make(chan struct{}, 10)
	l.OnChange(func() { heard <- struct{}{} })
	write(t, path, "auth: [{username: ann, allow: false}]")
	require.Eventually(t, func() bool {
		_, err := l.Authenticate(t.Context(), user(authtest.User, authtest.Password))
		return shoal.ReasonCodeOf(err, packets.Success) == packets.Banned
	}, 30*time.Second, 10*time.Millisecond)
	<-heard
	require.NoError(t, l.Reload())
	write(t, path, "auth: 1")
	require.Eventually(t, func() bool { return l.Reload() == nil }, 30*time.Second, 10*time.Millisecond)
	_, err = l.Authenticate(t.Context(), user(authtest.User, authtest.Password))
	authtest.RequireCode(t, packets.Banned, err)
}

func TestLedgerErrorsSayWhere(t *testing.T) {
	for text, want := range map[string]string{
		"auth:\n- {user: ann}":                  "2:4: auth[0].user: unknown key; there are allow, client, password, remote, username",
		"acl:\n- filters: {a: 4}":               "from 0 to 3",
		"acl:\n- filters: {a#: 1}":              "acl[0].filters.a#",
		"acl:\n- filters: {a: x}":               `must be a number, not "x"`,
		"users: {ann: {pw: x}}":                 "users.ann.pw",
		"{\n \"auth\": [\n  {\"alow\": true}]}": `:3:`,
		`{"acl": [{"filters": {"a": 9}}]}`:      "from 0 to 3",
		`{"acl": [{"filters": {"a#": 1}}]}`:     "a#",
		`{"users": {"ann": null}}`:              "users.ann is null",
		`{} {}`:                                 "something follows",
		"auth: [{allow: yes please}]":           "true or false",
	} {
		_, err := file.NewLedger(file.LedgerConfig{Path: write(t, "", text), NoWatch: true})
		require.ErrorContains(t, err, want, text)
	}
	_, err := file.NewLedger(file.LedgerConfig{})
	require.ErrorContains(t, err, "Path")
	_, err = file.NewLedger(file.LedgerConfig{Path: filepath.Join(t.TempDir(), "none")})
	require.ErrorIs(t, err, os.ErrNotExist)
}

// gate is an EnhancedAuthenticator that lets everybody in.
type gate struct{ *file.Authenticator }

func (gate) AuthenticationMethods() []string { return []string{"m"} }

func (gate) BeginAuthentication(context.Context, *shoal.Credentials, string) (shoal.AuthenticationExchange, error) {
	return opened{}, nil
}

type opened struct{}

var later = time.Now().Add(time.Hour)

func (opened) Step(context.Context, []byte) (shoal.AuthenticationStep, error) {
	return shoal.AuthenticationStep{Done: true, Principal: &shoal.Principal{Name: "gated", Data: 1, ClientID: "id", Expires: later}}, nil
}

func TestBlacklistInFrontOfEnhancedAuthentication(t *testing.T) {
	l := openLedger(t, write(t, "", "auth: [{client: bad, allow: false}]"), gate{contractUsers(t)})
	require.Equal(t, []string{"m"}, l.AuthenticationMethods())
	_, err := l.BeginAuthentication(t.Context(), &shoal.Credentials{ClientID: "bad"}, "m")
	authtest.RequireCode(t, packets.Banned, err)
	x, err := l.BeginAuthentication(t.Context(), &shoal.Credentials{ClientID: "good"}, "m")
	require.NoError(t, err)
	step, err := x.Step(t.Context(), nil)
	require.NoError(t, err)
	require.Equal(t, "gated", step.Principal.Name)
	require.Equal(t, "id", step.Principal.ClientID)
	require.Equal(t, later, step.Principal.Expires)
	_, err = openLedger(t, "testdata/ledger.yaml", nil).BeginAuthentication(t.Context(), &shoal.Credentials{}, "m")
	authtest.RequireCode(t, packets.BadAuthenticationMethod, err)
}

func FuzzLedger(f *testing.F) {
	for _, name := range []string{"testdata/ledger.yaml", "testdata/blacklist.yml"} {
		data, err := os.ReadFile(name)
		require.NoError(f, err)
		f.Add(data)
	}
	f.Add([]byte(`{"users":{"ann":{"acl":{"a/#":3}}},"auth":[{"client":"x*","allow":true}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := file.ParseLedger(data); err != nil && !strings.Contains(err.Error(), "fuzz") {
			t.Fatal("an error that does not name the file", err)
		}
	})
}
