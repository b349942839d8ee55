package redis_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"log/slog"
	"syscall"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/auth/acl"
	"github.com/shoalmq/shoal/auth/authtest"
	"github.com/shoalmq/shoal/auth/password"
	"github.com/shoalmq/shoal/auth/redis"
	"github.com/shoalmq/shoal/auth/source"
	"github.com/shoalmq/shoal/internal/testservers"
	"github.com/shoalmq/shoal/packets"
)

// fill writes the users and rules of the contract.
func fill(t testing.TB, option rueidis.ClientOption) {
	t.Helper()
	option.DisableCache = true
	c, err := rueidis.NewClient(option)
	require.NoError(t, err)
	defer c.Close()
	do := func(args ...string) {
		require.NoError(t, c.Do(t.Context(), c.B().Arbitrary(args[0]).Keys(args[1]).Args(args[2:]...).Build()).Error())
	}
	for name, text := range map[string]string{
		authtest.User:         fmt.Sprintf(`{"client":"x","password":%q,"allow":true}`, authtest.Password),
		authtest.DisabledUser: fmt.Sprintf(`{"password":%q}`, authtest.DisabledPassword),
		authtest.PlainUser:    fmt.Sprintf(`{"password":%q,"allow":true,"attributes":{"tenant":"t1"}}`, authtest.PlainPassword),
		"broken":              `{"password":`,
		"root":                `{"password":"x","allow":true,"superuser":true}`,
	} {
		do("HSET", "comqtt:auth", name, text)
	}
	for filter, access := range authtest.Access() {
		do("HSET", "comqtt:acl:"+authtest.User, filter, fmt.Sprint(access))
	}
}

var plain = password.Format{Algorithm: password.Plain}

func open(t testing.TB, cfg redis.Config) *source.Authenticator {
	t.Helper()
	cfg.Source.Passwords = plain
	a, err := redis.New(cfg)
	require.NoError(t, err)
	return a
}

func contract(t *testing.T, cfg redis.Config, down, up func(*testing.T)) {
	authtest.Run(t, authtest.Suite{
		Open: func(t *testing.T, s source.Config) *source.Authenticator {
			cfg.Source = s
			cfg.Source.Order = acl.LongestWins
			return open(t, cfg)
		},
		Down: down, Up: up,
	})
}

func TestContract(t *testing.T) {
	server := testservers.Redis(t)
	fill(t, rueidis.ClientOption{InitAddress: []string{server.Addr()}})
	contract(t, redis.Config{URL: "redis://" + server.Addr()},
		func(*testing.T) { server.Kill() }, func(*testing.T) { server.Start() })
}

// TestStandstill holds that a server that neither answers nor ends is not waited for.
func TestStandstill(t *testing.T) {
	server := testservers.Redis(t)
	fill(t, rueidis.ClientOption{InitAddress: []string{server.Addr()}})
	contract(t, redis.Config{URL: "redis://" + server.Addr()},
		func(*testing.T) { server.Signal(syscall.SIGSTOP) }, func(*testing.T) { server.Signal(syscall.SIGCONT) })
}

func TestCluster(t *testing.T) {
	nodes := testservers.RedisCluster(t)
	fill(t, rueidis.ClientOption{InitAddress: []string{nodes[0].Addr()}})
	contract(t, redis.Config{URL: fmt.Sprintf("redis://%s?addr=%s", nodes[0].Addr(), nodes[1].Addr())}, nil, nil)
}

func TestSentinel(t *testing.T) {
	server := testservers.Redis(t)
	sentinel := testservers.Sentinel(t, server)
	fill(t, rueidis.ClientOption{InitAddress: []string{server.Addr()}})
	contract(t, redis.Config{URL: fmt.Sprintf("redis://%s/0?master_set=main", sentinel.Addr())}, nil, nil)
}

func TestTLS(t *testing.T) {
	authority := authtest.NewAuthority(t)
	own := authority.Issue(t, nil)
	ca, cert, key := authority.Files(t, &own)
	server := testservers.RedisTLS(t, cert, key, ca)
	c := &tls.Config{RootCAs: authority.Pool, Certificates: []tls.Certificate{authority.Issue(t, nil)}, MinVersion: tls.VersionTLS12}
	fill(t, rueidis.ClientOption{InitAddress: []string{server.Addr()}, TLSConfig: c})
	contract(t, redis.Config{URL: "rediss://" + server.Addr(), TLS: c}, nil, nil)

	stranger := authtest.NewAuthority(t)
	a := open(t, redis.Config{URL: "rediss://" + server.Addr(), TLS: &tls.Config{RootCAs: stranger.Pool, MinVersion: tls.VersionTLS12}})
	defer func() { require.NoError(t, a.Close()) }()
	_, err := a.Authenticate(t.Context(), user(authtest.User, authtest.Password))
	authtest.RequireCode(t, packets.ServerUnavailable, err)
	require.ErrorContains(t, err, server.Addr())
	require.ErrorContains(t, a.Check(t.Context()), server.Addr())
	b := open(t, redis.Config{URL: "rediss://" + server.Addr(), TLS: c})
	defer func() { require.NoError(t, b.Close()) }()
	require.NoError(t, b.Check(t.Context()))
}

func user(name, password string) *shoal.Credentials {
	return &shoal.Credentials{ClientID: "c-" + name, UserName: name, Password: []byte(password)}
}

func publish(p *shoal.Principal, topic string) *shoal.AccessRequest {
	return &shoal.AccessRequest{ClientID: "c-" + p.Name, Principal: p, Action: shoal.ActionPublish, Topic: topic}
}

// TestRecords holds what else a record may say, and that one that cannot be understood denies.
func TestRecords(t *testing.T) {
	server := testservers.Redis(t)
	fill(t, rueidis.ClientOption{InitAddress: []string{server.Addr()}})
	c, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{server.Addr()}, DisableCache: true})
	require.NoError(t, err)
	defer c.Close()
	for filter, value := range map[string]string{
		"%{tenant}/#": `{"allow":"publish","qos":[0]}`, "odd/1": "7", "odd/2": "yes", "odd/3": `{"allow":"publish","topic":"x"}`,
		"#": `{"allow":"both"}`, "odd/4": `{"allow":"publish","qoss":[0]}`, "odd#": "1",
	} {
		require.NoError(t, c.Do(t.Context(), c.B().Hset().Key("comqtt:acl:cat").FieldValue().FieldValue(filter, value).Build()).Error())
	}
	var logged bytes.Buffer
	a := open(t, redis.Config{URL: "redis://" + server.Addr(), Source: source.Config{Logger: slog.New(slog.NewTextHandler(&logged, nil))}})
	defer func() { require.NoError(t, a.Close()) }()
	_, err = a.Authenticate(t.Context(), user("broken", "x"))
	authtest.RequireCode(t, packets.BadUserNameOrPassword, err)
	root := authtest.Login(t, a, user("root", "x"))
	require.NoError(t, a.Authorize(t.Context(), publish(root, "$SYS/x")))
	cat := authtest.Login(t, a, user(authtest.PlainUser, authtest.PlainPassword))
	require.NoError(t, a.Authorize(t.Context(), publish(cat, "t1/x")))
	for _, topic := range []string{"odd/1", "odd/2", "odd/3", "odd/4"} {
		authtest.RequireCode(t, packets.NotAuthorized, a.Authorize(t.Context(), publish(cat, topic)), topic)
	}
	require.Contains(t, logged.String(), "neither an access number nor a JSON object")
	require.Contains(t, logged.String(), "odd#")
}

// TestComqttData holds that comqtt's own data and settings do what they did.
func TestComqttData(t *testing.T) {
	server := testservers.Redis(t)
	c, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{server.Addr()}, DisableCache: true})
	require.NoError(t, err)
	defer c.Close()
	zhangsan := `{"client":"","username":"","remote":"","password":"321654","allow":true}`
	require.NoError(t, c.Do(t.Context(), c.B().Hset().Key("comqtt-auth").FieldValue().FieldValue("zhangsan", zhangsan).Build()).Error())
	require.NoError(t, c.Do(t.Context(), c.B().Hset().Key("comqtt-acl:c-zhangsan").FieldValue().FieldValue("topictest/1", "2").Build()).Error())
	acls, err := source.ComqttMode(2)
	require.NoError(t, err)
	a := open(t, redis.Config{
		URL: "redis://" + server.Addr(), UsersKey: "comqtt-auth", RulesKey: "comqtt-acl",
		Source: source.Config{Order: acl.LongestWins, ACL: acls},
	})
	defer func() { require.NoError(t, a.Close()) }()
	p := authtest.Login(t, a, user("zhangsan", "321654"))
	require.NoError(t, a.Authorize(t.Context(), publish(p, "topictest/1")))
	authtest.RequireCode(t, packets.NotAuthorized, a.Authorize(t.Context(), publish(p, "topictest/1/2")))
	r := publish(p, "topictest/1")
	r.Action = shoal.ActionSubscribe
	authtest.RequireCode(t, packets.NotAuthorized, a.Authorize(t.Context(), r))
}

func TestConfigIsChecked(t *testing.T) {
	for want, cfg := range map[string]redis.Config{
		"Config.URL is empty":       {},
		"Config.URL cannot be read": {URL: "redis://user:secret@:x"},
		"acl.AsWritten":             {URL: "redis://127.0.0.1:1", Source: source.Config{Order: acl.AsWritten}},
		"Config.Login":              {URL: "redis://127.0.0.1:1", Source: source.Config{Login: "x"}},
	} {
		_, err := redis.New(cfg)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "secret")
	}
}

func BenchmarkLogin(b *testing.B)   { bench(b, authtest.BenchmarkLogins) }
func BenchmarkPublish(b *testing.B) { bench(b, authtest.BenchmarkPublishes) }

func bench(b *testing.B, run func(*testing.B, func(ttl time.Duration) *source.Authenticator)) {
	server := testservers.Redis(b)
	fill(b, rueidis.ClientOption{InitAddress: []string{server.Addr()}})
	run(b, func(ttl time.Duration) *source.Authenticator {
		return open(b, redis.Config{URL: "redis://" + server.Addr(), Source: source.Config{TTL: ttl, NegativeTTL: ttl}})
	})
}
