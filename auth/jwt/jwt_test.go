package jwt_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
	golang "github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/auth/acl"
	"github.com/shoalmq/shoal/auth/authtest"
	"github.com/shoalmq/shoal/auth/jwt"
	"github.com/shoalmq/shoal/auth/source"
	"github.com/shoalmq/shoal/packets"
)

var secret = []byte("0123456789abcdef0123456789abcdef")

type claims = golang.MapClaims

func sign(t testing.TB, alg string, key any, kid string, c claims) string {
	t.Helper()
	token := golang.NewWithClaims(golang.GetSigningMethod(alg), c)
	if kid != "" {
		token.Header["kid"] = kid
	}
	text, err := token.SignedString(key)
	require.NoError(t, err)
	return text
}

func hour(name string) claims {
	return claims{"sub": name, "exp": time.Now().Add(time.Hour).Unix()}
}

func open(t testing.TB, cfg jwt.Config) *source.Authenticator {
	t.Helper()
	a, err := jwt.New(cfg)
	require.NoError(t, err)
	return a
}

func with(user, token string) *shoal.Credentials {
	return &shoal.Credentials{ClientID: "c1", UserName: user, Password: []byte(token), HasUserName: user != "", HasPassword: true}
}

func publish(p *shoal.Principal, topic string) *shoal.AccessRequest {
	return &shoal.AccessRequest{ClientID: "c1", Principal: p, Action: shoal.ActionPublish, Topic: topic}
}

// suite has tokens of the users of the contract; those of others are signed with another secret.
func suite(t *testing.T, cfg jwt.Config, alg string, key any) authtest.Suite {
	return authtest.Suite{
		NoDisabled: true, RulesWithLogin: true,
		Open: func(t *testing.T, c source.Config) *source.Authenticator {
			cfg := cfg
			cfg.Source = c
			return open(t, cfg)
		},
		Credentials: func(user, password string) *shoal.Credentials {
			c := hour(authtest.User)
			switch {
			case user == authtest.User && password == authtest.Password:
				c["acl"] = []map[string]any{
					{"allow": "both", "topic": "a/%u/#"},
					{"deny": "both", "topic": "a/ann/secret"},
					{"allow": "subscribe", "topic": "news/+"},
					{"allow": "publish", "topic": "up/+"},
				}
			case user == authtest.PlainUser && password == authtest.PlainPassword:
				c["sub"] = user
			case user == authtest.User && password == "", user == "":
				return with(user, password)
			case user != authtest.User: // the token of another
			default:
				return with(user, sign(t, "HS256", []byte("ffffffffffffffffffffffffffffffff"), "", c))
			}
			return with(user, sign(t, alg, key, "", c))
		},
	}
}

func TestContract(t *testing.T) {
	authtest.Run(t, suite(t, jwt.Config{Keys: []jwt.Key{{Secret: secret}}}, "HS256", secret))
}

func TestContractWithKeySet(t *testing.T) {
	key, set := newRSA(t), newSet(t)
	set.put(t, "", &key.PublicKey)
	authtest.Run(t, suite(t, jwt.Config{JWKS: set.URL}, "PS256", key))
}

func newRSA(t testing.TB) *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	return key
}

func newEC(t testing.TB, c elliptic.Curve) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(c, rand.Reader)
	require.NoError(t, err)
	return key
}

func login(t *testing.T, a *source.Authenticator, token string) error {
	p, err := a.Authenticate(t.Context(), with("", token))
	require.NotEqual(t, p == nil, err == nil)
	if err != nil {
		authtest.RequireCode(t, packets.BadUserNameOrPassword, err)
	}
	return err
}

func TestAlgorithms(t *testing.T) {
	r, e256, e384, e521 := newRSA(t), newEC(t, elliptic.P256()), newEC(t, elliptic.P384()), newEC(t, elliptic.P521())
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	private := map[string]crypto.Signer{"RSA": r, "P-256": e256, "P-384": e384, "P-521": e521, "Ed25519": ed}
	for alg, of := range map[string]string{
		"RS256": "RSA", "RS384": "RSA", "RS512": "RSA", "PS256": "RSA", "PS384": "RSA", "PS512": "RSA", "ES256": "P-256",
		"ES384": "P-384", "ES512": "P-521", "EdDSA": "Ed25519",
	} {
		a := open(t, jwt.Config{Keys: []jwt.Key{{Public: private[of].Public()}}})
		require.NoError(t, login(t, a, sign(t, alg, private[of], "", hour("ann"))), alg)
		for other, key := range private { // of another type
			if other != of && !(other == "P-256" || other == "P-384" || other == "P-521") {
				for algorithm, o := range map[string]string{"RS256": "RSA", "EdDSA": "Ed25519"} {
					if o == other {
						require.Error(t, login(t, a, sign(t, algorithm, key, "", hour("ann"))))
					}
				}
			}
		}
		require.NoError(t, a.Close())
	}
	for _, alg := range []string{"HS256", "HS384", "HS512"} {
		a := open(t, jwt.Config{Keys: []jwt.Key{{Secret: secret}}})
		require.NoError(t, login(t, a, sign(t, alg, secret, "", hour("ann"))))
		require.NoError(t, a.Close())
	}
}

// TestAlgorithmConfusion holds that nobody chooses another way of verifying than the key is for.
func TestAlgorithmConfusion(t *testing.T) {
	r := newRSA(t)
	der, err := x509.MarshalPKIXPublicKey(&r.PublicKey)
	require.NoError(t, err)
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	key, err := jwt.ParsePublicKey(text)
	require.NoError(t, err)
	set := newSet(t)
	set.put(t, "", &r.PublicKey)
	for _, cfg := range []jwt.Config{
		{Keys: []jwt.Key{{Public: key}}},
		{Keys: []jwt.Key{{Public: key}, {Secret: secret}}}, // both are possible, each with its own
		{JWKS: set.URL},
	} {
		a := open(t, cfg)
		require.NoError(t, login(t, a, sign(t, "RS256", r, "", hour("ann"))))
		for _, public := range [][]byte{text, der} {
			require.Error(t, login(t, a, sign(t, "HS256", public, "", hour("ann"))))
		}
		require.Error(t, login(t, a, sign(t, "none", golang.UnsafeAllowNoneSignatureType, "", hour("ann"))))
		good := sign(t, "RS256", r, "", hour("ann"))
		require.Error(t, login(t, a, good[:len(good)-4]))
		none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"NONE"}`))
		require.Error(t, login(t, a, none+"."+base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"ann","exp":99999999999}`))+"."))
		for _, text := range []string{"", ".", "..", "a.b.c", good + "." + good, string(make([]byte, 20_000))} {
			require.Error(t, login(t, a, text))
		}
		require.NoError(t, a.Close())
	}
	// Only what is configured.
	a := open(t, jwt.Config{Keys: []jwt.Key{{Public: key}}, Algorithms: []string{"PS256"}})
	defer func() { require.NoError(t, a.Close()) }()
	require.Error(t, login(t, a, sign(t, "RS256", r, "", hour("ann"))))
	require.NoError(t, login(t, a, sign(t, "PS256", r, "", hour("ann"))))
}

func TestClaims(t *testing.T) {
	a := open(t, jwt.Config{
		Keys: []jwt.Key{{ID: "k1", Secret: secret}}, Issuer: "me", Audience: "mqtt", ClientIDClaim: "cid", RulesClaim: "rules", NameClaim: "name",
		Source: source.Config{Everybody: []acl.Rule{{Effect: acl.Allow, Filter: "t/%{tenant}/%{number}/%{flag}"}, {Effect: acl.Allow, Filter: "l/%{list}"}}},
	})
	defer func() { require.NoError(t, a.Close()) }()
	good := func() claims {
		return claims{
			"name": "ann", "iss": "me", "aud": []string{"x", "mqtt"}, "cid": "c1", "exp": time.Now().Add(time.Hour).Unix(), "tenant": "t1",
			"number": 12345678901234567, "flag": true, "list": []string{"a"}, "rules": map[string]int{"n/#": 3},
		}
	}
	p := authtest.Login(t, a, with("ann", sign(t, "HS256", secret, "k1", good())))
	require.Equal(t, "ann", p.Name)
	require.NoError(t, a.Authorize(t.Context(), publish(p, "t/t1/12345678901234567/true")))
	require.NoError(t, a.Authorize(t.Context(), publish(p, "n/x")))
	require.Error(t, a.Authorize(t.Context(), publish(p, "l/a")), "a list is no attribute")
	require.WithinDuration(t, time.Now().Add(time.Hour), source.UserOf(p).Expires, time.Minute)
	for name, change := range map[string]func(claims){
		"issuer": func(c claims) { c["iss"] = "you" }, "no issuer": func(c claims) { delete(c, "iss") },
		"audience": func(c claims) { c["aud"] = "other" }, "client ID": func(c claims) { c["cid"] = "c2" },
		"no client ID": func(c claims) { delete(c, "cid") }, "no name": func(c claims) { delete(c, "name") },
		"name is a number": func(c claims) { c["name"] = 1 }, "expired": func(c claims) { c["exp"] = time.Now().Add(-time.Second).Unix() },
		"no exp": func(c claims) { delete(c, "exp") }, "not yet": func(c claims) { c["nbf"] = time.Now().Add(time.Hour).Unix() },
		"rules": func(c claims) { c["rules"] = "all" }, "odd rules": func(c claims) { c["rules"] = map[string]int{"a#": 1} },
		"exp is a text": func(c claims) { c["exp"] = "never" },
	} {
		c := good()
		change(c)
		_, err := a.Authenticate(t.Context(), with("", sign(t, "HS256", secret, "k1", c)))
		authtest.RequireCode(t, packets.BadUserNameOrPassword, err, name)
	}
	require.Error(t, login(t, a, sign(t, "HS256", secret, "k2", good())), "another key's ID")
	_, err := a.Authenticate(t.Context(), with("bob", sign(t, "HS256", secret, "k1", good())))
	authtest.RequireCode(t, packets.BadUserNameOrPassword, err, "another's token")
}

func TestTokenAsUserName(t *testing.T) {
	a := open(t, jwt.Config{Keys: []jwt.Key{{Secret: secret}}, From: jwt.FromUserName, NoExpiry: true})
	defer func() { require.NoError(t, a.Close()) }()
	p := authtest.Login(t, a, &shoal.Credentials{ClientID: "c1", UserName: sign(t, "HS256", secret, "", claims{"sub": "ann"})})
	require.Equal(t, "ann", p.Name)
	require.True(t, source.UserOf(p).Expires.IsZero())
	_, err := a.Authenticate(t.Context(), with("ann", sign(t, "HS256", secret, "", claims{"sub": "ann"})))
	authtest.RequireCode(t, packets.BadUserNameOrPassword, err)
	b := open(t, jwt.Config{Keys: []jwt.Key{{Secret: secret}}, AnyUserName: true})
	defer func() { require.NoError(t, b.Close()) }()
	require.Equal(t, "ann", authtest.Login(t, b, with("jwt", sign(t, "HS256", secret, "", hour("ann")))).Name)
}

// TestExpiredLoginMayDoNothing holds that rights end with the token.
func TestExpiredLoginMayDoNothing(t *testing.T) {
	a := open(t, jwt.Config{Keys: []jwt.Key{{Secret: secret}}, Source: source.Config{Everybody: []acl.Rule{{Effect: acl.Allow, Filter: "#"}}}})
	defer func() { require.NoError(t, a.Close()) }()
	p := authtest.Login(t, a, with("ann", sign(t, "HS256", secret, "", claims{"sub": "ann", "exp": time.Now().Unix() + 2})))
	require.NoError(t, a.Authorize(t.Context(), publish(p, "x")))
	require.Eventually(t, func() bool { return a.Authorize(t.Context(), publish(p, "x")) != nil }, 20*time.Second, 20*time.Millisecond)
}

// set serves a JWK set.
type set struct {
	*httptest.Server
	body    atomic.Value
	fetched atomic.Int64
}

func newSet(t testing.TB) *set {
	s := new(set)
	s.body.Store("")
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s.fetched.Add(1)
		if text := s.body.Load().(string); text != "" {
			fmt.Fprint(w, text)
			return
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *set) put(t testing.TB, kid string, keys ...any) {
	t.Helper()
	var m jwkset.JWKSMarshal
	for _, k := range keys {
		jwk, err := jwkset.NewJWKFromKey(k, jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{KID: kid}, Marshal: jwkset.JWKMarshalOptions{Private: true}})
		require.NoError(t, err)
		m.Keys = append(m.Keys, jwk.Marshal())
	}
	text, err := json.Marshal(m)
	require.NoError(t, err)
	s.body.Store(string(text))
}

// TestKeySetIsRefreshed holds that new keys are found, that strangers cannot have it fetched again and
// again, and that an outage is survived.
func TestKeySetIsRefreshed(t *testing.T) {
	one, two, s := newRSA(t), newEC(t, elliptic.P256()), newSet(t)
	a := open(t, jwt.Config{JWKS: s.URL, Source: source.Config{TTL: -1, NegativeTTL: -1}})
	defer func() { require.NoError(t, a.Close()) }()
	_, err := a.Authenticate(t.Context(), with("", sign(t, "RS256", one, "one", hour("ann"))))
	authtest.RequireCode(t, packets.ServerUnavailable, err, "no keys: it is down")
	s.put(t, "one", &one.PublicKey, secret, &newRSASmall(t).PublicKey)
	require.Eventually(t, func() bool {
		_, err := a.Authenticate(t.Context(), with("", sign(t, "RS256", one, "one", hour("ann"))))
		return err == nil
	}, 30*time.Second, 100*time.Millisecond)
	n := s.fetched.Load()
	for range 20 {
		require.Error(t, login(t, a, sign(t, "ES256", two, "two", hour("ann"))))
	}
	require.LessOrEqual(t, s.fetched.Load(), n+1)
	require.Error(t, login(t, a, sign(t, "HS256", secret, "one", hour("ann"))), "a symmetric key in a public set")
	s.put(t, "two", &two.PublicKey)
	require.Eventually(t, func() bool {
		_, err := a.Authenticate(t.Context(), with("", sign(t, "ES256", two, "two", hour("ann"))))
		return err == nil
	}, 60*time.Second, 200*time.Millisecond)
	require.Error(t, login(t, a, sign(t, "RS256", one, "one", hour("ann"))), "a key that has gone")

	short := open(t, jwt.Config{JWKS: s.URL, Refresh: time.Nanosecond, KeepKeys: time.Hour})
	defer func() { require.NoError(t, short.Close()) }()
	require.NoError(t, login(t, short, sign(t, "ES256", two, "two", hour("ann"))))
	s.body.Store("")
	require.NoError(t, login(t, short, sign(t, "ES256", two, "two", hour("bob"))), "keys are kept")
}

func newRSASmall(t testing.TB) *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	require.NoError(t, err)
	return key
}

func TestConfigIsChecked(t *testing.T) {
	for want, cfg := range map[string]jwt.Config{
		"neither Config.Keys":           {},
		"at least 32":                   {Keys: []jwt.Key{{Secret: []byte("short")}}},
		"smaller than 2048 bits":        {Keys: []jwt.Key{{Public: &newRSASmall(t).PublicKey}}},
		"set one of":                    {Keys: []jwt.Key{{}}},
		"no key that":                   {Keys: []jwt.Key{{Public: "x"}}},
		`Config.Algorithms has "RS256"`: {Keys: []jwt.Key{{Secret: secret}}, Algorithms: []string{"RS256"}},
		`Config.Algorithms has "none"`:  {Keys: []jwt.Key{{Secret: secret}}, Algorithms: []string{"none"}},
		"Config.From":                   {Keys: []jwt.Key{{Secret: secret}}, From: "cookie"},
		"Config.JWKS":                   {JWKS: "file:///etc/passwd"},
		"Config.Source.Login":           {Keys: []jwt.Key{{Secret: secret}}, Source: source.Config{Login: source.Anyone}},
		"P-224":                         {Keys: []jwt.Key{{Public: newEC(t, elliptic.P224()).Public()}}},
	} {
		_, err := jwt.New(cfg)
		require.ErrorContains(t, err, want)
	}
	for _, text := range []string{"", "x", "-----BEGIN X-----\n-----END X-----\n", "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n"} {
		_, err := jwt.ParsePublicKey([]byte(text))
		require.Error(t, err)
	}
	authority := authtest.NewAuthority(t)
	_, err := jwt.ParsePublicKey(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority.Certificate.Raw}))
	require.NoError(t, err)
	key := newRSA(t)
	got, err := jwt.ParsePublicKey(pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(&key.PublicKey)}))
	require.NoError(t, err)
	require.True(t, key.PublicKey.Equal(got))
}

func FuzzKeySet(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"},{"kty":"EC","crv":"P-256","x":"AA","y":"AA"},{"kty":"OKP","crv":"Ed25519","x":"AA"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if n, err := jwt.ParseKeySet(data); (n == 0) != (err != nil) {
			t.Fatal(n, err)
		}
	})
}

func ExampleNew() {
	a, err := jwt.New(jwt.Config{
		JWKS: "https://login.example.com/.well-known/jwks.json", Issuer: "https://login.example.com/", Audience: "mqtt",
		Source: source.Config{Everybody: []acl.Rule{{Effect: acl.Allow, Filter: "tenants/%{tenant}/#"}}},
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

func BenchmarkLogin(b *testing.B) {
	key := newRSA(b)
	token := sign(b, "RS256", key, "", hour("ann"))
	server := newSet(b)
	server.put(b, "", &key.PublicKey)
	for name, cfg := range map[string]jwt.Config{
		"cold":   {Keys: []jwt.Key{{Public: &key.PublicKey}}},
		"cached": {JWKS: server.URL},
	} {
		b.Run(name, func(b *testing.B) {
			a := open(b, cfg)
			defer func() { require.NoError(b, a.Close()) }()
			for b.Loop() {
				if _, err := a.Authenticate(b.Context(), with("", token)); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
		})
	}
}
