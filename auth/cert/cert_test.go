package cert_test

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/auth/acl"
	"github.com/shoalmq/shoal/auth/authtest"
	"github.com/shoalmq/shoal/auth/cert"
	"github.com/shoalmq/shoal/auth/source"
	"github.com/shoalmq/shoal/packets"
)

// shown is what a listener knows of a client that has shown a certificate, as crypto/tls does it.
func shown(t testing.TB, authority *authtest.Authority, change func(*x509.Certificate)) *tls.ConnectionState {
	t.Helper()
	c := authority.Issue(t, change)
	chains, err := c.Leaf.Verify(x509.VerifyOptions{Roots: authority.Pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	require.NoError(t, err)
	return &tls.ConnectionState{PeerCertificates: []*x509.Certificate{c.Leaf}, VerifiedChains: chains}
}

func named(name string) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: name} }
}

func open(t testing.TB, cfg cert.Config) *cert.Authenticator {
	t.Helper()
	a, err := cert.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, a.Close()) })
	return a
}

func TestContract(t *testing.T) {
	authority := authtest.NewAuthority(t)
	states := map[string]*tls.ConnectionState{
		authtest.User: shown(t, authority, func(c *x509.Certificate) {
			c.Subject = pkix.Name{CommonName: authtest.User, Organization: []string{"news"}, OrganizationalUnit: []string{"up"}} //nolint:misspell // its name
		}),
		authtest.PlainUser: shown(t, authority, named(authtest.PlainUser)),
	}
	authtest.Run(t, authtest.Suite{
		NoDisabled: true, NoPasswords: true, RulesWithLogin: true,
		Open: func(t *testing.T, cfg source.Config) *source.Authenticator {
			cfg.Everybody = []acl.Rule{
				{Effect: acl.Allow, Filter: "a/%u/#"},
				{Effect: acl.Deny, Filter: "a/%u/secret"},
				{Effect: acl.Allow, Actions: acl.Subscribe, Filter: "%{organisation}/+"},
				{Effect: acl.Allow, Actions: acl.Publish, Filter: "%{organisational_unit}/+"},
			}
			a, err := cert.New(cert.Config{Source: cfg})
			require.NoError(t, err)
			return a.Authenticator
		},
		Credentials: func(user, password string) *shoal.Credentials {
			return &shoal.Credentials{ClientID: "client-of-" + user, UserName: user, TLS: states[user]}
		},
	})
}

func with(state *tls.ConnectionState, user, id string) *shoal.Credentials {
	return &shoal.Credentials{ClientID: id, UserName: user, TLS: state}
}

func refuses(t *testing.T, a *cert.Authenticator, c *shoal.Credentials, want string) {
	t.Helper()
	_, err := a.Authenticate(t.Context(), c)
	authtest.RequireCode(t, packets.BadUserNameOrPassword, err)
	require.ErrorContains(t, err, want)
}

func TestFields(t *testing.T) {
	authority := authtest.NewAuthority(t)
	state := shown(t, authority, func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: "ann", Organization: []string{"o1"}, OrganizationalUnit: []string{"ou1"}} //nolint:misspell // its name
		c.SerialNumber = big.NewInt(77)
		c.DNSNames, c.EmailAddresses = []string{"dns.example", "other"}, []string{"ann@example.com"}
		c.URIs = []*url.URL{{Scheme: "spiffe", Host: "example", Path: "/ann"}}
	})
	for field, want := range map[cert.Field]string{
		"": "ann", cert.Subject: "CN=ann,OU=ou1,O=o1", cert.DNS: "dns.example", cert.Email: "ann@example.com", cert.Serial: "77",
		cert.URI: "spiffe://example/ann",
	} {
		a := open(t, cert.Config{Name: field})
		require.Equal(t, want, authtest.Login(t, a, with(state, "", "c")).Name)
		require.Equal(t, want, authtest.Login(t, a, with(state, want, "c")).Name)
		refuses(t, a, with(state, "bob", "c"), "another user's")
	}
	a := open(t, cert.Config{AnyUserName: true, ClientID: cert.DNS, Source: source.Config{
		Everybody: []acl.Rule{{Effect: acl.Allow, Filter: "%{organisation}/%{organisational_unit}/%{serial}/%{dns}/%{email}"}},
	}})
	p := authtest.Login(t, a, with(state, "bob", "dns.example"))
	require.Equal(t, "ann", p.Name)
	require.WithinDuration(t, state.PeerCertificates[0].NotAfter, source.UserOf(p).Expires, 0)
	require.NoError(t, a.Authorize(t.Context(), &shoal.AccessRequest{
		ClientID: "dns.example", Principal: p, Action: shoal.ActionPublish, Topic: "o1/ou1/77/dns.example/ann@example.com",
	}))
	require.Equal(t, "dns.example", p.ClientID)
	require.Equal(t, "dns.example", authtest.Login(t, a, with(state, "", "other")).ClientID)
	refuses(t, open(t, cert.Config{ClientID: cert.URI}), with(shown(t, authority, named("ann")), "", ""), "which is the client ID")
	refuses(t, a, with(nil, "ann", "c"), "not by TLS")
	refuses(t, a, with(&tls.ConnectionState{}, "ann", "c"), "no certificate")
	refuses(t, a, with(&tls.ConnectionState{PeerCertificates: state.PeerCertificates}, "ann", "c"), "does not verify")
	refuses(t, open(t, cert.Config{Name: cert.Email}), with(shown(t, authority, named("ann")), "", "c"), "no email")
}

// crl makes a revocation list.
func crl(t testing.TB, authority *authtest.Authority, until time.Time, serials ...*big.Int) []byte {
	t.Helper()
	template := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: until}
	for _, s := range serials {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: s, RevocationTime: time.Now().Add(-time.Minute)})
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, authority.Certificate, authority.Key)
	require.NoError(t, err)
	return der
}

func inPEM(der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}) }

func TestRevocation(t *testing.T) {
	authority, stranger := authtest.NewAuthority(t), authtest.NewAuthority(t)
	good, bad := shown(t, authority, named("ann")), shown(t, authority, named("bob"))
	other := shown(t, stranger, named("cat"))
	revoked := bad.PeerCertificates[0].SerialNumber
	later, path := time.Now().Add(time.Hour), filepath.Join(t.TempDir(), "revoked.crl")
	put := func(data []byte) {
		require.NoError(t, os.WriteFile(path+".new", data, 0o600))
		require.NoError(t, os.Rename(path+".new", path))
	}
	put(crl(t, authority, later))
	a := open(t, cert.Config{CRLs: []string{path}})
	authtest.Login(t, a, with(bad, "", "c"))
	put(inPEM(crl(t, authority, later, revoked)))
	require.Eventually(t, func() bool {
		_, err := a.Authenticate(t.Context(), with(bad, "", "c"))
		return err != nil
	}, 30*time.Second, 10*time.Millisecond, "a changed list is read by itself")
	refuses(t, a, with(bad, "", "c"), "is revoked by "+path)
	authtest.Login(t, a, with(good, "", "c"))
	authtest.Login(t, a, with(other, "", "c"))

	put([]byte("nonsense"))
	require.Eventually(t, func() bool { return a.Reload() == nil }, 30*time.Second, 10*time.Millisecond, "an error is told once")
	refuses(t, a, with(bad, "", "c"), "is revoked")

	// A list that another authority of the same name has signed says nothing.
	put(crl(t, stranger, later, revoked))
	refuses(t, open(t, cert.Config{CRLs: []string{path}, RequireCRL: true}), with(bad, "", "c"), "no revocation list")
	authtest.Login(t, open(t, cert.Config{CRLs: []string{path}}), with(bad, "", "c"))

	put(append(inPEM(crl(t, stranger, later)), inPEM(crl(t, authority, time.Now().Add(-time.Second), revoked))...))
	old := open(t, cert.Config{CRLs: []string{path}, NoWatch: true})
	refuses(t, old, with(good, "", "c"), "out of date")
	authtest.Login(t, old, with(other, "", "c"))
	old = open(t, cert.Config{CRLs: []string{path}, OldCRLs: true})
	authtest.Login(t, old, with(good, "", "c"))
	refuses(t, old, with(bad, "", "c"), "is revoked")
}

func TestConfigIsChecked(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.crl")
	require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE"}), 0o600))
	for want, cfg := range map[string]cert.Config{
		"Config.Name":         {Name: "x"},
		"Config.ClientID":     {ClientID: "x"},
		"Config.RequireCRL":   {RequireCRL: true},
		"Config.CRLs[0]":      {CRLs: []string{"/nowhere/x"}},
		"must be X509 CRL":    {CRLs: []string{file}},
		"Config.Source.Login": {Source: source.Config{Login: source.Anyone}},
	} {
		_, err := cert.New(cfg)
		require.ErrorContains(t, err, want)
	}
}

func FuzzCRLs(f *testing.F) {
	authority := authtest.NewAuthority(f)
	f.Add(crl(f, authority, time.Now().Add(time.Hour), big.NewInt(5)))
	f.Add(inPEM(crl(f, authority, time.Now().Add(time.Hour), big.NewInt(5))))
	f.Fuzz(func(t *testing.T, data []byte) {
		if n, err := cert.ParseCRLs(data); err == nil && n == 0 {
			t.Fatal("no list and no error")
		}
	})
}

func ExampleNew() {
	a, err := cert.New(cert.Config{
		Name:   cert.CommonName,
		Source: source.Config{Everybody: []acl.Rule{{Effect: acl.Allow, Filter: "devices/%u/#"}}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = a.Close() }()
	_, err = shoal.New(shoal.WithAuthenticator(a), shoal.WithListen("tcp://127.0.0.1:8883"))
	fmt.Println(err)
	// Output: <nil>
}
