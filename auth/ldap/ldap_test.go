package ldap_test

import (
	"crypto/tls"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/auth/acl"
	"github.com/shoalmq/shoal/auth/authtest"
	"github.com/shoalmq/shoal/auth/ldap"
	"github.com/shoalmq/shoal/auth/source"
	"github.com/shoalmq/shoal/internal/testservers"
	"github.com/shoalmq/shoal/packets"
)

const entries = `dn: dc=example,dc=com
objectClass: domain
dc: example

dn: ou=people,dc=example,dc=com
objectClass: organizationalUnit
ou: people

dn: ou=groups,dc=example,dc=com
objectClass: organizationalUnit
ou: groups

dn: uid=ann,ou=people,dc=example,dc=com
objectClass: inetOrgPerson
uid: ann
cn: Ann (the first)
sn: A
departmentNumber: t1
userPassword: lovelace

dn: uid=bob,ou=people,dc=example,dc=com
objectClass: inetOrgPerson
uid: bob
cn: Bob
sn: B
userPassword: builder

dn: uid=cat,ou=people,dc=example,dc=com
objectClass: inetOrgPerson
uid: cat
cn: Cat
sn: C
userPassword: meow

dn: uid=twin,ou=people,dc=example,dc=com
objectClass: inetOrgPerson
uid: twin
cn: Twin
sn: T
userPassword: x

dn: cn=other,ou=people,dc=example,dc=com
objectClass: inetOrgPerson
uid: twin
cn: other
sn: T
userPassword: x

dn: uid=star*)(uid=\\,ou=people,dc=example,dc=com
objectClass: inetOrgPerson
uid: star*)(uid=\
cn: Star
sn: S
userPassword: x

dn: cn=writers,ou=groups,dc=example,dc=com
objectClass: groupOfNames
cn: writers
member: uid=ann,ou=people,dc=example,dc=com

dn: cn=readers,ou=groups,dc=example,dc=com
objectClass: groupOfUniqueNames
cn: readers
uniqueMember: uid=ann,ou=people,dc=example,dc=com

dn: cn=clients,ou=groups,dc=example,dc=com
objectClass: groupOfNames
cn: clients
member: uid=ann,ou=people,dc=example,dc=com
member: uid=cat,ou=people,dc=example,dc=com
member: uid=star*)(uid=\\,ou=people,dc=example,dc=com

dn: cn=admins,ou=groups,dc=example,dc=com
objectClass: groupOfNames
cn: admins
member: uid=star*)(uid=\\,ou=people,dc=example,dc=com
`

func config(server *testservers.Server) ldap.Config {
	return ldap.Config{
		URL: "ldap://" + server.Addr(), BindDN: testservers.LDAPAdmin, BindPassword: testservers.LDAPAdminPassword,
		BaseDN: "ou=people,dc=example,dc=com", GroupBaseDN: "ou=groups,dc=example,dc=com", Required: "clients",
		Groups: map[string][]acl.Rule{
			"writers": {{Effect: acl.Allow, Filter: "a/%u/#"}, {Effect: acl.Allow, Actions: acl.Publish, Filter: "up/+"}},
			"readers": {{Effect: acl.Allow, Actions: acl.Subscribe, Filter: "news/+"}, {Effect: acl.Deny, Filter: "a/%u/secret"}},
			"admins":  {},
		},
	}
}

func open(t testing.TB, cfg ldap.Config) *source.Authenticator {
	t.Helper()
	a, err := ldap.New(cfg)
	require.NoError(t, err)
	return a
}

func suite(cfg ldap.Config) authtest.Suite {
	return authtest.Suite{
		CanonicalNames: true,
		Open: func(t *testing.T, c source.Config) *source.Authenticator {
			cfg := cfg
			cfg.Source = c
			return open(t, cfg)
		},
	}
}

func TestContract(t *testing.T) {
	server := testservers.Slapd(t, entries)
	s := suite(config(server))
	s.Down, s.Up = func(*testing.T) { server.Kill() }, func(*testing.T) { server.Start() }
	authtest.Run(t, s)
	t.Run("standstill", func(t *testing.T) {
		s.Down, s.Up = func(*testing.T) { server.Signal(syscall.SIGSTOP) }, func(*testing.T) { server.Signal(syscall.SIGCONT) }
		authtest.Run(t, s)
	})
	t.Run("anonymous searches", func(t *testing.T) {
		cfg := config(server)
		cfg.BindDN, cfg.BindPassword = "", ""
		authtest.Run(t, suite(cfg))
	})
	t.Run("entries", func(t *testing.T) { names(t, server) })
	t.Run("what is wrong", func(t *testing.T) { wrong(t, server) })
}

func user(name, password string) *shoal.Credentials {
	return &shoal.Credentials{ClientID: "c-" + name, UserName: name, Password: []byte(password)}
}

func publish(p *shoal.Principal, topic string) *shoal.AccessRequest {
	return &shoal.AccessRequest{ClientID: "c-" + p.Name, Principal: p, Action: shoal.ActionPublish, Topic: topic}
}

func names(t *testing.T, server *testservers.Server) {
	cfg := config(server)
	cfg.Superusers, cfg.Attributes = "admins", map[string]string{"tenant": "departmentNumber"}
	cfg.Source.Everybody = []acl.Rule{{Effect: acl.Allow, Filter: "t/%{tenant}"}}
	a := open(t, cfg)
	defer func() { require.NoError(t, a.Close()) }()
	p := authtest.Login(t, a, user("ANN", authtest.Password))
	require.Equal(t, "ann", p.Name)
	require.NoError(t, a.Authorize(t.Context(), publish(p, "a/ann/x")))
	require.NoError(t, a.Authorize(t.Context(), publish(p, "t/t1")))
	star := `star*)(uid=\`
	p = authtest.Login(t, a, user(star, "x"))
	require.Equal(t, star, p.Name)
	require.NoError(t, a.Authorize(t.Context(), publish(p, "any")), "a superuser")
	_, err := a.Authenticate(t.Context(), user("twin", "x"))
	authtest.RequireCode(t, packets.BadUserNameOrPassword, err, "there are two")
	require.ErrorContains(t, err, "several entries")
	_, err = a.Authenticate(t.Context(), user("bob", "builder"))
	authtest.RequireCode(t, packets.NotAuthorized, err, "not in the required group")
	require.NoError(t, a.Check(t.Context()))
}

func wrong(t *testing.T, server *testservers.Server) {
	for want, change := range map[string]func(*ldap.Config){
		"bind as Config.BindDN":      func(c *ldap.Config) { c.BindPassword = "wrong" },
		"search below Config.BaseDN": func(c *ldap.Config) { c.BaseDN = "ou=nowhere,dc=example,dc=com" },
		"StartTLS":                   func(c *ldap.Config) { c.StartTLS = true }, // which this server does not know
		"connect to":                 func(c *ldap.Config) { c.URL = "ldap://127.0.0.1:1" },
	} {
		cfg := config(server)
		change(&cfg)
		a := open(t, cfg)
		_, err := a.Authenticate(t.Context(), user(authtest.User, authtest.Password))
		authtest.RequireCode(t, packets.ServerUnavailable, err, want)
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, a.Check(t.Context()), want)
		require.NotContains(t, err.Error(), authtest.Password)
		require.NoError(t, a.Close())
	}
}

func TestTLS(t *testing.T) {
	authority := authtest.NewAuthority(t)
	own := authority.Issue(t, nil)
	ca, cert, key := authority.Files(t, &own)
	server := testservers.Slapd(t, entries, "TLSCACertificateFile "+ca, "TLSCertificateFile "+cert, "TLSCertificateKeyFile "+key, "security ssf=1")
	cfg := config(server)
	cfg.StartTLS, cfg.TLS = true, &tls.Config{RootCAs: authority.Pool, MinVersion: tls.VersionTLS12}
	authtest.Run(t, suite(cfg))
	cfg.TLS = &tls.Config{RootCAs: authtest.NewAuthority(t).Pool, MinVersion: tls.VersionTLS12}
	a := open(t, cfg)
	defer func() { require.NoError(t, a.Close()) }()
	_, err := a.Authenticate(t.Context(), user(authtest.User, authtest.Password))
	authtest.RequireCode(t, packets.ServerUnavailable, err)
	require.ErrorContains(t, err, "StartTLS")
}

func TestConfigIsChecked(t *testing.T) {
	for want, change := range map[string]func(*ldap.Config){
		"Config.URL":          func(c *ldap.Config) { c.URL = "http://x" },
		"Config.StartTLS":     func(c *ldap.Config) { c.URL, c.StartTLS = "ldaps://x", true },
		"Config.BindPassword": func(c *ldap.Config) { c.BindPassword = "" },
		"Config.BaseDN":       func(c *ldap.Config) { c.BaseDN = "" },
		"Config.GroupBaseDN":  func(c *ldap.Config) { c.GroupBaseDN = "x" },
		"need GroupBaseDN":    func(c *ldap.Config) { c.GroupBaseDN = "" },
		"must have ${name}":   func(c *ldap.Config) { c.UserFilter = "(uid=ann)" },
		"Config.UserFilter":   func(c *ldap.Config) { c.UserFilter = "(uid=${name}" },
		"Config.GroupFilter":  func(c *ldap.Config) { c.GroupFilter = "${dn}" },
		`Config.Groups["x"]`:  func(c *ldap.Config) { c.Groups = map[string][]acl.Rule{"x": {{Filter: "a#"}}} },
		"Config.Login":        func(c *ldap.Config) { c.Source.Login = "x" },
	} {
		cfg := ldap.Config{URL: "ldap://x", BindDN: "cn=x", BindPassword: "x", BaseDN: "dc=x", GroupBaseDN: "dc=x", Required: "x"}
		change(&cfg)
		_, err := ldap.New(cfg)
		require.ErrorContains(t, err, want)
	}
}

func BenchmarkLogin(b *testing.B)   { bench(b, authtest.BenchmarkLogins) }
func BenchmarkPublish(b *testing.B) { bench(b, authtest.BenchmarkPublishes) }

func bench(b *testing.B, run func(*testing.B, func(ttl time.Duration) *source.Authenticator)) {
	server := testservers.Slapd(b, entries)
	run(b, func(ttl time.Duration) *source.Authenticator {
		cfg := config(server)
		cfg.Source.TTL, cfg.Source.NegativeTTL = ttl, ttl
		return open(b, cfg)
	})
}

func ExampleNew() {
	a, err := ldap.New(ldap.Config{
		URL: "ldaps://directory.example.com", BaseDN: "ou=people,dc=example,dc=com", GroupBaseDN: "ou=groups,dc=example,dc=com",
		BindDN: "cn=shoal,dc=example,dc=com", BindPassword: strings.Repeat("x", 8),
		Groups: map[string][]acl.Rule{"operators": {{Effect: acl.Allow, Filter: "plant/#"}}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = a.Close() }()
	_, err = shoal.New(shoal.WithAuthenticator(a), shoal.WithListen("tcp://127.0.0.1:1883"))
	fmt.Println(err)
	// Output: <nil>
}
