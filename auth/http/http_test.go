package http_test

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/auth/acl"
	"github.com/shoalmq/shoal/auth/authtest"
	authhttp "github.com/shoalmq/shoal/auth/http"
	"github.com/shoalmq/shoal/auth/source"
	"github.com/shoalmq/shoal/packets"
)

var passwords = map[string]string{authtest.User: authtest.Password, authtest.PlainUser: authtest.PlainPassword}

// fields reads those of a request, however it sends them.
func fields(t testing.TB, r *http.Request) map[string]string {
	m := make(map[string]string)
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Error(err)
	}
	var form url.Values
	switch {
	case r.Method == http.MethodGet:
		form, err = url.ParseQuery(r.URL.RawQuery)
	case r.Header.Get("Content-Type") == "application/json":
		err = json.Unmarshal(body, &m)
	default:
		form, err = url.ParseQuery(string(body))
	}
	if err != nil {
		t.Error(err)
	}
	for k := range form {
		m[k] = form.Get(k)
	}
	return m
}

// service is one that knows the users of the contract.
type service struct {
	*httptest.Server
	mode  atomic.Value // "", "down", "stall"
	conns atomic.Int64
	asked sync.Map // path → *atomic.Int64
	gone  chan struct{}
}

func serve(t testing.TB, handle func(w http.ResponseWriter, r *http.Request, f map[string]string)) *service {
	s := &service{gone: make(chan struct{})}
	s.mode.Store("")
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch s.mode.Load() {
		case "down":
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		case "stall":
			select {
			case <-r.Context().Done():
			case <-s.gone:
			}
			return
		}
		n, _ := s.asked.LoadOrStore(r.URL.Path, new(atomic.Int64))
		n.(*atomic.Int64).Add(1)
		handle(w, r, fields(t, r))
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.conns.Add(1)
		}
	}
	s.Start()
	t.Cleanup(func() {
		close(s.gone)
		s.Close()
	})
	return s
}

func (s *service) count(path string) int64 {
	n, ok := s.asked.Load(path)
	if !ok {
		return 0
	}
	return n.(*atomic.Int64).Load()
}

// modern answers in this package's own way.
func modern(w http.ResponseWriter, r *http.Request, f map[string]string) {
	switch r.URL.Path {
	case "/auth":
		if want, ok := passwords[f["user_name"]]; !ok || want != f["password"] {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		fmt.Fprint(w, `{"result":"allow"}`)
	case "/acl":
		if f["name"] == authtest.User {
			fmt.Fprint(w, `[{"allow":"both","topic":"a/%u/#"},{"deny":"both","topic":"a/ann/secret"},`+
				`{"allow":"subscribe","topic":"news/+"},{"allow":"publish","topic":"up/+"}]`)
			return
		}
		w.WriteHeader(http.StatusNotFound)
	case "/topic":
		if f["user_name"] != authtest.User {
			fmt.Fprint(w, `{"result":"ignore"}`)
			return
		}
		list, err := acl.Compile(acl.DenyWins, authtest.Rules())
		if err != nil {
			panic(err)
		}
		action := shoal.ActionPublish
		if f["action"] == "subscribe" {
			action = shoal.ActionSubscribe
		}
		d := list.For(acl.Client{}).Decide(&shoal.AccessRequest{Action: action, Topic: f["topic"]})
		fmt.Fprintf(w, `{"result":%q}`, map[acl.Decision]string{acl.Allowed: "allow", acl.Denied: "deny", acl.NoMatch: "ignore"}[d])
	}
}

func suite(s *service, cfg authhttp.Config, mode string) authtest.Suite {
	cfg.AuthURL = s.URL + "/auth"
	cfg.ACLURL = s.URL + "/acl"
	if cfg.PerTopic {
		cfg.ACLURL = s.URL + "/topic"
	}
	return authtest.Suite{
		NoDisabled: true,
		Open: func(t *testing.T, c source.Config) *source.Authenticator {
			cfg := cfg
			c.Order = cfg.Source.Order
			cfg.Source = c
			return open(t, cfg)
		},
		Down: func(*testing.T) { s.mode.Store(mode) }, Up: func(*testing.T) { s.mode.Store("") },
	}
}

func open(t testing.TB, cfg authhttp.Config) *source.Authenticator {
	t.Helper()
	a, err := authhttp.New(cfg)
	require.NoError(t, err)
	return a
}

func TestContract(t *testing.T) {
	for name, cfg := range map[string]authhttp.Config{
		"POST JSON": {}, "POST form": {Form: true}, "GET": {Method: "get"}, "per topic": {PerTopic: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, modern)
			authtest.Run(t, suite(s, cfg, "down"))
			require.Less(t, s.conns.Load(), int64(60), "connections are reused")
		})
	}
	t.Run("stall", func(t *testing.T) { authtest.Run(t, suite(serve(t, modern), authhttp.Config{}, "stall")) })
}

// TestComqtt holds that services made for comqtt work.
func TestComqtt(t *testing.T) {
	comqtt := func(w http.ResponseWriter, r *http.Request, f map[string]string) {
		if r.URL.Path == "/acl" {
			if len(f) != 1 {
				t.Errorf("%v", f)
			}
			if f["user"] == authtest.User {
				fmt.Fprint(w, `{"a/ann/#":3,"a/ann/secret":0,"news/+":1,"up/+":2}`)
			}
			return
		}
		if want, ok := passwords[f["user"]]; ok && want == f["password"] && len(f) == 2 {
			fmt.Fprint(w, "1")
			return
		}
		fmt.Fprint(w, "1\n") // is not 1
	}
	for _, cfg := range []authhttp.Config{{}, {Form: true}, {Method: "GET"}} {
		cfg.Comqtt = true
		cfg.Source.Order = acl.LongestWins
		authtest.Run(t, suite(serve(t, comqtt), cfg, "down"))
	}
}

func user(name, password string) *shoal.Credentials {
	return &shoal.Credentials{
		ClientID: "c-" + name, UserName: name, Password: []byte(password), Listener: "tcp://:1883",
		RemoteAddr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 7), Port: 4711},
	}
}

func publish(p *shoal.Principal, topic string) *shoal.AccessRequest {
	return &shoal.AccessRequest{ClientID: "c-" + p.Name, Principal: p, Action: shoal.ActionPublish, Topic: topic}
}

func TestTemplatesAndAnswers(t *testing.T) {
	var seen sync.Map
	s := serve(t, func(w http.ResponseWriter, r *http.Request, f map[string]string) {
		seen.Store(f["who"], f)
		seen.Store("header", r.Header.Get("X-Name"))
		answers := map[string]string{
			"ann":     `{"result":"allow","name":"other","attributes":{"tenant":"t1"},"rules":[{"allow":"both","topic":"%{tenant}/#"}],"expires":99999999999}`,
			"root":    `{"result":"allow","superuser":true}`,
			"expired": `{"result":"allow","expires":1}`,
			"denied":  `{"result":"deny"}`,
			"odd":     `{"result":"perhaps"}`,
			"rules":   `{"result":"allow","rules":[{"allow":"fly","topic":"a"}]}`,
			"nothing": ``,
			"one":     `1`,
		}
		switch name := f["name"]; name {
		case "created":
			w.WriteHeader(http.StatusCreated)
		case "moved":
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		case "empty":
			w.WriteHeader(http.StatusNoContent)
		default:
			fmt.Fprint(w, answers[name])
		}
	})
	a := open(t, authhttp.Config{
		AuthURL: s.URL + "/auth?key=1", Method: "GET", Headers: map[string]string{"X-Name": "<${name}>"},
		AuthFields: map[string]string{"name": "${name}", "who": "${user_name}/${client_id}/${remote_ip}/${listener}/${common_name}", "p": "${password}"},
	})
	defer func() { require.NoError(t, a.Close()) }()
	p := authtest.Login(t, a, user("ann", "se&cret="))
	require.Equal(t, "other", p.Name)
	got, ok := seen.Load("ann/c-ann/10.0.0.7/tcp://:1883/")
	require.True(t, ok)
	require.Equal(t, "se&cret=", got.(map[string]string)["p"])
	require.Equal(t, "1", got.(map[string]string)["key"])
	header, _ := seen.Load("header")
	require.Equal(t, "<ann>", header)
	require.NoError(t, a.Authorize(t.Context(), publish(p, "t1/x")))
	authtest.RequireCode(t, packets.NotAuthorized, a.Authorize(t.Context(), publish(p, "t2/x")))
	require.NoError(t, a.Authorize(t.Context(), publish(authtest.Login(t, a, user("root", "x")), "any")))
	authtest.Login(t, a, user("empty", "x"))
	for name, want := range map[string]packets.ReasonCode{
		"denied": packets.BadUserNameOrPassword, "rules": packets.BadUserNameOrPassword, "expired": packets.NotAuthorized,
		"ann\r\nX-Name: root": packets.BadUserNameOrPassword,
	} {
		_, err := a.Authenticate(t.Context(), user(name, "x"))
		authtest.RequireCode(t, want, err, name)
	}
	require.Zero(t, a.Stats().Failures)
	for _, name := range []string{"odd", "nothing", "one", "created", "moved"} {
		_, err := a.Authenticate(t.Context(), user(name, "sesame"))
		authtest.RequireCode(t, packets.ServerUnavailable, err, name)
		authtest.Login(t, a, user("empty", name)) // so that it does not count as down
	}
	require.Zero(t, s.count("/elsewhere"))
	_, err := a.Authenticate(t.Context(), user("binary", "\xff"))
	authtest.RequireCode(t, packets.BadUserNameOrPassword, err)
}

func TestPasswordsAreNotInErrors(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	a := open(t, authhttp.Config{AuthURL: "http://" + l.Addr().String() + "/auth", Method: "GET"})
	defer func() { require.NoError(t, a.Close()) }()
	_, err = a.Authenticate(t.Context(), user("ann", "sesame"))
	authtest.RequireCode(t, packets.ServerUnavailable, err)
	require.ErrorContains(t, err, l.Addr().String())
	require.NotContains(t, err.Error(), "sesame")
}

func TestTopicsAreAskedOnce(t *testing.T) {
	s := serve(t, modern)
	a := open(t, authhttp.Config{AuthURL: s.URL + "/auth", ACLURL: s.URL + "/topic", PerTopic: true})
	defer func() { require.NoError(t, a.Close()) }()
	p := authtest.Login(t, a, user(authtest.User, authtest.Password))
	for range 10 {
		require.NoError(t, a.Authorize(t.Context(), publish(p, "up/x")))
		authtest.RequireCode(t, packets.NotAuthorized, a.Authorize(t.Context(), publish(p, "down/x")))
	}
	require.EqualValues(t, 2, s.count("/topic"))
	require.EqualValues(t, 1, s.count("/auth"))
	again := user(authtest.User, authtest.Password)
	again.ClientID = "other"
	authtest.Login(t, a, again)
	require.EqualValues(t, 2, s.count("/auth"), "the client ID is asked about, too")
}

func TestMutualTLS(t *testing.T) {
	authority := authtest.NewAuthority(t)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		modern(w, r, fields(t, r))
	}))
	server.TLS = &tls.Config{
		Certificates: []tls.Certificate{authority.Issue(t, nil)}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: authority.Pool,
		MinVersion: tls.VersionTLS12,
	}
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes fail on purpose
	server.StartTLS()
	defer server.Close()
	login := func(c *tls.Config) error {
		a := open(t, authhttp.Config{AuthURL: server.URL + "/auth", TLS: c})
		defer func() { require.NoError(t, a.Close()) }()
		_, err := a.Authenticate(t.Context(), user(authtest.User, authtest.Password))
		return err
	}
	own := []tls.Certificate{authority.Issue(t, nil)}
	require.NoError(t, login(&tls.Config{RootCAs: authority.Pool, Certificates: own, MinVersion: tls.VersionTLS12}))
	authtest.RequireCode(t, packets.ServerUnavailable, login(&tls.Config{RootCAs: authority.Pool, MinVersion: tls.VersionTLS12}))
	authtest.RequireCode(t, packets.ServerUnavailable, login(&tls.Config{Certificates: own, MinVersion: tls.VersionTLS12}))
}

func TestConfigIsChecked(t *testing.T) {
	const ok = "http://127.0.0.1/auth"
	for want, cfg := range map[string]authhttp.Config{
		"Config.AuthURL":          {},
		"Config.ACLURL":           {AuthURL: ok, ACLURL: "ftp://x"},
		"Config.Method":           {AuthURL: ok, Method: "PUT"},
		"Config.PerTopic":         {AuthURL: ok, PerTopic: true},
		`Config.AuthFields["x"]`:  {AuthURL: ok, AuthFields: map[string]string{"x": "${topic}"}},
		`Config.ACLFields["x"]`:   {AuthURL: ok, ACLFields: map[string]string{"x": "${client_id}"}},
		`Config.Headers["x"]`:     {AuthURL: ok, Headers: map[string]string{"x": "${password}"}},
		"${name without a brace}": {AuthURL: ok, Headers: map[string]string{"x": "${name"}},
		"Config.Login":            {AuthURL: ok, Source: source.Config{Login: "x"}},
	} {
		_, err := authhttp.New(cfg)
		require.ErrorContains(t, err, want)
	}
}

func ExampleNew() {
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `{"result":"allow","rules":[{"allow":"both","topic":"home/%u/#"}]}`)
	}))
	defer service.Close()
	a, err := authhttp.New(authhttp.Config{AuthURL: service.URL})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = a.Close() }()
	_, err = shoal.New(shoal.WithAuthenticator(a), shoal.WithListen("tcp://127.0.0.1:1883"))
	fmt.Println(err)
	// Output: <nil>
}

func BenchmarkLogin(b *testing.B)   { bench(b, authtest.BenchmarkLogins) }
func BenchmarkPublish(b *testing.B) { bench(b, authtest.BenchmarkPublishes) }

func bench(b *testing.B, run func(*testing.B, func(ttl time.Duration) *source.Authenticator)) {
	s := serve(b, modern)
	run(b, func(ttl time.Duration) *source.Authenticator {
		return open(b, authhttp.Config{
			AuthURL: s.URL + "/auth", ACLURL: s.URL + "/acl", Source: source.Config{TTL: ttl, NegativeTTL: ttl},
		})
	})
}
