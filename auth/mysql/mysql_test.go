package mysql_test

import (
	"bytes"
	"database/sql"
	"fmt"
	"log/slog"
	"syscall"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/auth/acl"
	"github.com/shoalmq/shoal/auth/authtest"
	"github.com/shoalmq/shoal/auth/mysql"
	"github.com/shoalmq/shoal/auth/password"
	"github.com/shoalmq/shoal/auth/source"
	"github.com/shoalmq/shoal/auth/sqlsource"
	"github.com/shoalmq/shoal/internal/testservers"
	"github.com/shoalmq/shoal/packets"
)

// fill makes comqtt's tables, and the users and rules of the contract in them.
func fill(t testing.TB, server *testservers.Server) {
	t.Helper()
	do := executor(t, server)
	do("CREATE TABLE auth (id SERIAL PRIMARY KEY, username VARCHAR(255) NOT NULL UNIQUE, password VARCHAR(255) NOT NULL, " +
		"allow SMALLINT DEFAULT 1 NOT NULL, created TIMESTAMP DEFAULT CURRENT_TIMESTAMP)")
	do("CREATE TABLE acl (id SERIAL PRIMARY KEY, username VARCHAR(255) NOT NULL, topic VARCHAR(255) NOT NULL, " +
		"access SMALLINT DEFAULT 3 NOT NULL)")
	do("CREATE INDEX acl_username_idx ON acl(username)")
	for name, u := range map[string][2]string{
		authtest.User: {authtest.Password, "1"}, authtest.DisabledUser: {authtest.DisabledPassword, "0"},
		authtest.PlainUser: {authtest.PlainPassword, "1"},
	} {
		do(fmt.Sprintf("INSERT INTO auth (username, password, allow) VALUES ('%s', '%s', %s)", name, u[0], u[1]))
	}
	for filter, access := range authtest.Access() {
		do(fmt.Sprintf("INSERT INTO acl (username, topic, access) VALUES ('%s', '%s', %d)", authtest.User, filter, access))
	}
}

// executor returns a function that executes statements.
func executor(t testing.TB, server *testservers.Server) func(string) {
	t.Helper()
	db, err := sql.Open("mysql", dsn(server))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return func(statement string) {
		t.Helper()
		_, err := db.ExecContext(t.Context(), statement)
		require.NoError(t, err, statement)
	}
}

var plain = password.Format{Algorithm: password.Plain}

func open(t testing.TB, cfg mysql.Config) *source.Authenticator {
	t.Helper()
	cfg.Source.Passwords = plain
	a, err := mysql.New(cfg)
	require.NoError(t, err)
	return a
}

func TestContract(t *testing.T) {
	server := testservers.MariaDB(t)
	fill(t, server)
	suite := authtest.Suite{
		Open: func(t *testing.T, s source.Config) *source.Authenticator {
			s.Order = acl.LongestWins
			return open(t, mysql.Config{DSN: dsn(server), Source: s})
		},
		Down: func(*testing.T) { server.Kill() }, Up: func(*testing.T) { server.Start() },
	}
	authtest.Run(t, suite)
	t.Run("standstill", func(t *testing.T) {
		suite.Down = func(*testing.T) { server.SignalAll(syscall.SIGSTOP) }
		suite.Up = func(*testing.T) { server.SignalAll(syscall.SIGCONT) }
		authtest.Run(t, suite)
	})
	t.Run("tables of one's own", func(t *testing.T) { ownTables(t, server) })
	t.Run("queries of one's own", func(t *testing.T) { ownQueries(t, server) })
	t.Run("what is missing", func(t *testing.T) { missing(t, server) })
	t.Run("odd rows", func(t *testing.T) { oddRows(t, server) })
}

func user(name, password string) *shoal.Credentials {
	return &shoal.Credentials{ClientID: "c-" + name, UserName: name, Password: []byte(password)}
}

func publish(p *shoal.Principal, topic string) *shoal.AccessRequest {
	return &shoal.AccessRequest{ClientID: "c-" + p.Name, Principal: p, Action: shoal.ActionPublish, Topic: topic}
}

func ownTables(t *testing.T, server *testservers.Server) {
	do := executor(t, server)
	q := func(s string) string { return "`" + s + "`" }
	do("CREATE TABLE " + q("my users") + " (" + q("user") + " VARCHAR(50), pw VARCHAR(200), salt VARCHAR(50), root BOOLEAN, tenant VARCHAR(50))")
	do("CREATE TABLE " + q("select") + " (n INT, who VARCHAR(50), " + q("from") + " VARCHAR(50), p VARCHAR(10), a VARCHAR(10), q VARCHAR(10), r BOOLEAN)")
	do("INSERT INTO " + q("my users") + " VALUES ('dee', '" + sha256salted + "', 'salt', FALSE, 't1'), ('root', '" + sha256salted + "', 'salt', TRUE, NULL)")
	do("INSERT INTO " + q("select") + " VALUES (2, 'dee', 'a/#', 'allow', 'both', NULL, NULL), (1, 'dee', 'a/b', 'deny', 'publish', NULL, NULL), " +
		"(3, 'dee', '%{tenant}/x', 'allow', 'publish', '0,1', FALSE)")
	a, err := mysql.New(mysql.Config{
		DSN: dsn(server), MaxOpen: 2, MaxIdle: 1,
		Tables: sqlsource.Tables{
			Users: "my users", UserName: "user", Password: "pw", Allow: "-", Salt: "salt", Superuser: "root",
			Attributes: map[string]string{"tenant": "tenant"}, Rules: "select", RuleName: "who", Topic: "from", Permission: "p", Action: "a",
			QoS: "q", Retain: "r", OrderBy: "n",
		},
		Source: source.Config{Order: acl.AsWritten, Passwords: password.Format{Algorithm: password.SHA256, Salt: password.SaltBefore}},
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, a.Close()) }()
	dee := authtest.Login(t, a, user("dee", "päss word"))
	require.NoError(t, a.Authorize(t.Context(), publish(dee, "a/c")))
	authtest.RequireCode(t, packets.NotAuthorized, a.Authorize(t.Context(), publish(dee, "a/b")))
	r := publish(dee, "t1/x")
	require.NoError(t, a.Authorize(t.Context(), r))
	r.Retain = true
	authtest.RequireCode(t, packets.NotAuthorized, a.Authorize(t.Context(), r))
	root := authtest.Login(t, a, user("root", "päss word"))
	require.NoError(t, a.Authorize(t.Context(), publish(root, "any")))
	_, err = a.Authenticate(t.Context(), user("dee", "other"))
	authtest.RequireCode(t, packets.BadUserNameOrPassword, err)
}

func ownQueries(t *testing.T, server *testservers.Server) {
	a := open(t, mysql.Config{
		DSN:        dsn(server),
		UserQuery:  "SELECT password, allow, 'blue' AS colour FROM auth WHERE username = ${name} AND ${name} <> 'nobody'",
		RulesQuery: "SELECT topic, access FROM acl WHERE username = ${name} UNION SELECT 'c/%{colour}', 3",
	})
	defer func() { require.NoError(t, a.Close()) }()
	ann := authtest.Login(t, a, user(authtest.User, authtest.Password))
	require.NoError(t, a.Authorize(t.Context(), publish(ann, "c/blue")))
	require.NoError(t, a.Authorize(t.Context(), publish(ann, "up/x")))
	_, err := a.Authenticate(t.Context(), user(authtest.DisabledUser, authtest.DisabledPassword))
	authtest.RequireCode(t, packets.NotAuthorized, err)
}

// missing holds that errors say what was tried.
func missing(t *testing.T, server *testservers.Server) {
	a := open(t, mysql.Config{DSN: dsn(server), Tables: sqlsource.Tables{Users: "nowhere"}})
	defer func() { require.NoError(t, a.Close()) }()
	_, err := a.Authenticate(t.Context(), user(authtest.User, authtest.Password))
	authtest.RequireCode(t, packets.ServerUnavailable, err)
	require.ErrorContains(t, err, "nowhere")
	require.ErrorContains(t, a.Check(t.Context()), "nowhere")
	b := open(t, mysql.Config{DSN: dsn(server)})
	defer func() { require.NoError(t, b.Close()) }()
	require.NoError(t, b.Check(t.Context()))
	for _, cfg := range []mysql.Config{
		{},
		{DSN: "secret@:::/%%%"},
		{DSN: dsn(server), UserQuery: "SELECT 1"},
		{DSN: dsn(server), RulesQuery: "SELECT 1"},
		{DSN: dsn(server), Source: source.Config{Login: "x"}},
		{DSN: dsn(server), Tables: sqlsource.Tables{Users: "-"}},
	} {
		_, err := mysql.New(cfg)
		require.ErrorContains(t, err, "mysql")
		require.NotContains(t, err.Error(), "secret")
	}
}

func oddRows(t *testing.T, server *testservers.Server) {
	do := executor(t, server)
	do("INSERT INTO acl (username, topic, access) VALUES ('cat', 'ok/x', 3), ('cat', 'odd/1', 9), ('cat', '#', 3), ('cat', 'odd#', 3), " +
		"('CAT', 'other/#', 0)")
	defer do("DELETE FROM acl WHERE username IN ('cat', 'CAT')")
	var logged bytes.Buffer
	a := open(t, mysql.Config{DSN: dsn(server), Source: source.Config{
		Logger: slog.New(slog.NewTextHandler(&logged, nil)), Order: acl.LongestWins,
	}})
	defer func() { require.NoError(t, a.Close()) }()
	cat := authtest.Login(t, a, user("cat", authtest.PlainPassword))
	require.NoError(t, a.Authorize(t.Context(), publish(cat, "other/x")), "the rules of CAT are another's")
	require.NoError(t, a.Authorize(t.Context(), publish(cat, "ok/x")))
	authtest.RequireCode(t, packets.NotAuthorized, a.Authorize(t.Context(), publish(cat, "odd/1")))
	require.Contains(t, logged.String(), "from 0 to 3")
	require.Contains(t, logged.String(), "odd#")
}

const sha256salted = "dd3223b4d146f9e3e87a8cbd4466599afd96ae58f75942b4edebde0ff1d78776" // of salt and "päss word"

func BenchmarkLogin(b *testing.B)   { bench(b, authtest.BenchmarkLogins) }
func BenchmarkPublish(b *testing.B) { bench(b, authtest.BenchmarkPublishes) }

func bench(b *testing.B, run func(*testing.B, func(ttl time.Duration) *source.Authenticator)) {
	server := testservers.MariaDB(b)
	fill(b, server)
	run(b, func(ttl time.Duration) *source.Authenticator {
		return open(b, mysql.Config{DSN: dsn(server), Source: source.Config{TTL: ttl, NegativeTTL: ttl}})
	})
}

func ExampleNew() {
	a, err := mysql.New(mysql.Config{
		DSN: "shoal:secret@tcp(127.0.0.1:3306)/shoal",
		Source: source.Config{
			Order:     acl.LongestWins,
			Everybody: []acl.Rule{{Effect: acl.Allow, Filter: "home/%u/#"}},
		},
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

func dsn(server *testservers.Server) string { return "root@tcp(" + server.Addr() + ")/shoal" }
