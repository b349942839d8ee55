package scram

import (
	"context"
	"encoding/base64"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/internal/mqtttest"
	"github.com/shoalmq/shoal/packets"
)

func newAuthenticator(t testing.TB, cfg Config) *Authenticator {
	t.Helper()
	a, err := New(cfg)
	require.NoError(t, err)
	return a
}

func begin(t testing.TB, a *Authenticator, c *shoal.Credentials) shoal.AuthenticationExchange {
	t.Helper()
	x, err := a.BeginAuthentication(t.Context(), c, Method)
	require.NoError(t, err)
	return x
}

func keysOf(t testing.TB, password string) Keys {
	t.Helper()
	k, err := NewKeys(password, 0)
	require.NoError(t, err)
	return k
}

// rfcKeys are those of the example in RFC 7677, section 3.
func rfcKeys(t testing.TB) Keys {
	t.Helper()
	salt, err := base64.StdEncoding.DecodeString("W22ZaJ0SNY7soEsUEjb6gQ==")
	require.NoError(t, err)
	k, err := DeriveKeys("pencil", salt, 4096)
	require.NoError(t, err)
	return k
}

// TestRFC7677 is the example of RFC 7677, section 3.
func TestRFC7677(t *testing.T) {
	a := newAuthenticator(t, Config{Users: Map{"user": rfcKeys(t)}})
	a.nonce = func() string { return "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0" }
	x := begin(t, a, new(shoal.Credentials))
	step, err := x.Step(t.Context(), []byte("n,,n=user,r=rOprNGfwEbeRWgbNEkqO"))
	require.NoError(t, err)
	require.Equal(t, "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", string(step.Data))
	require.False(t, step.Done)
	step, err = x.Step(t.Context(), []byte("c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="))
	require.NoError(t, err)
	require.Equal(t, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", string(step.Data))
	require.True(t, step.Done)
	require.Equal(t, "user", step.Principal.Name)
}

// TestKeysText reads and writes the form that PostgreSQL stores, too.
func TestKeysText(t *testing.T) {
	k := rfcKeys(t)
	const want = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
	require.Equal(t, want, k.String())
	var got Keys
	require.NoError(t, got.UnmarshalText([]byte(want)))
	require.Equal(t, k, got)
	text, err := got.MarshalText()
	require.NoError(t, err)
	require.Equal(t, want, string(text))
	for broken, reason := range map[string]string{
		"":                                                       "begin",
		"SCRAM-SHA-1$4096:YQ==$YQ==:YQ==":                        "begin",
		"SCRAM-SHA-256$4096:YQ==":                                "missing",
		"SCRAM-SHA-256$4096$YQ==:YQ==":                           "missing",
		"SCRAM-SHA-256$4096:YQ==$YQ==":                           "missing",
		"SCRAM-SHA-256$many:YQ==$YQ==:YQ==":                      "number",
		"SCRAM-SHA-256$4096:Y$YQ==:YQ==":                         "salt",
		"SCRAM-SHA-256$4096:YQ==$YQ==:YQ==":                      "StoredKey",
		strings.Replace(want, "4096", "4095", 1):                 "from 4096",
		strings.Replace(want, "wfPL", "wfP\n", 1):                "ServerKey",
		strings.Replace(want, "W22ZaJ0SNY7soEsUEjb6gQ==", "", 1): "salt of 0",
	} {
		before := got
		require.ErrorContains(t, got.UnmarshalText([]byte(broken)), reason, broken)
		require.Equal(t, before, got)
	}
}

func TestNewKeys(t *testing.T) {
	a, b := keysOf(t, "pencil"), keysOf(t, "pencil")
	require.NotEqual(t, a.Salt, b.Salt)
	require.Len(t, a.Salt, saltSize)
	require.Equal(t, DefaultIterations, a.Iterations)
	for password, reason := range map[string]string{"": "empty", "a\x00": "prohibits", "\u00AD": "nothing left", "\xff": "prohibits", "\u0627\u0031": "directions"} {
		_, err := NewKeys(password, 0)
		require.ErrorContains(t, err, reason, "%q", password)
	}
	_, err := NewKeys("p", 1000)
	require.ErrorContains(t, err, "1000 iterations")
	_, err = DeriveKeys("p", nil, 4096)
	require.ErrorContains(t, err, "salt of 0 bytes")
}

// TestPrepare is the examples of RFC 4013, section 3.
func TestPrepare(t *testing.T) {
	for in, want := range map[string]string{"I\u00ADX": "IX", "user": "user", "USER": "USER", "\u00AA": "a", "\u2168": "IX", "a b=,": "a b=,"} {
		got, err := prepare(in)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

func TestConfig(t *testing.T) {
	for reason, cfg := range map[string]Config{
		"Users is nil":      {},
		"has 3 bytes":       {Users: Map{}, Secret: []byte("abc")},
		"Config.Iterations": {Users: Map{}, Iterations: 1},
	} {
		_, err := New(cfg)
		require.ErrorContains(t, err, reason)
	}
	a := newAuthenticator(t, Config{Users: Map{}})
	require.Equal(t, []string{"SCRAM-SHA-256"}, a.AuthenticationMethods())
	_, err := a.BeginAuthentication(t.Context(), new(shoal.Credentials), "SCRAM-SHA-1")
	requireCode(t, packets.BadAuthenticationMethod, err)
}

func requireCode(t testing.TB, want packets.ReasonCode, err error) {
	t.Helper()
	require.Error(t, err)
	got := shoal.ReasonCodeOf(err, packets.Success)
	require.Equal(t, want, got, "%v", err)
}

// TestUnknownUser holds that a user that does not exist looks like one that does, up to the proof, and on every node alike.
func TestUnknownUser(t *testing.T) {
	secret := []byte("0123456789abcdef")
	users := Map{"ann": keysOf(t, "pencil")}
	serverFirst := func(a *Authenticator, user string) (x shoal.AuthenticationExchange, c *client, salt string, data []byte) {
		x, c = begin(t, a, new(shoal.Credentials)), &client{user: user, password: "pencil"}
		step, err := x.Step(t.Context(), c.first())
		require.NoError(t, err)
		_, salt, _ = strings.Cut(string(step.Data), ",")
		return x, c, salt, step.Data
	}
	one, other := newAuthenticator(t, Config{Users: users, Secret: secret}), newAuthenticator(t, Config{Users: users, Secret: secret})
	x, c, salt, data := serverFirst(one, "bob")
	_, _, again, _ := serverFirst(other, "bob")
	_, _, existing, _ := serverFirst(one, "ann")
	_, _, third, _ := serverFirst(one, "eve")
	require.Equal(t, salt, again)
	require.NotEqual(t, salt, third)
	require.Len(t, salt, len(existing))
	require.True(t, strings.HasSuffix(salt, ",i=4096"))
	_, err := x.Step(t.Context(), c.final(data))
	unknown := err
	requireCode(t, packets.BadUserNameOrPassword, err)

	x, c, _, data = serverFirst(one, "ann")
	c.password = "pencils"
	_, err = x.Step(t.Context(), c.final(data))
	require.Equal(t, unknown, err)

	// Nobody can log in as nobody, even with the secret's own key.
	k, known, err := one.keys(t.Context(), "bob")
	require.NoError(t, err)
	require.False(t, known)
	require.NotZero(t, k.StoredKey)
}

type broken struct{ err error }

func (b broken) Keys(context.Context, string) (Keys, bool, error) { return Keys{}, true, b.err }

// TestUsersFail holds what becomes of errors of Users, and of keys that cannot be.
func TestUsersFail(t *testing.T) {
	for want, err := range map[packets.ReasonCode]error{
		packets.ServerUnavailable: errors.New("down"),
		packets.Banned:            &shoal.Error{ReasonCode: packets.Banned},
	} {
		a := newAuthenticator(t, Config{Users: broken{err}, Plain: true})
		_, got := begin(t, a, new(shoal.Credentials)).Step(t.Context(), []byte("n,,n=a,r=b"))
		requireCode(t, want, got)
		require.ErrorIs(t, got, err)
		_, got = a.Authenticate(t.Context(), &shoal.Credentials{UserName: "a", Password: []byte("b")})
		requireCode(t, want, got)
	}
	a := newAuthenticator(t, Config{Users: broken{}})
	_, got := begin(t, a, new(shoal.Credentials)).Step(t.Context(), []byte("n,,n=a,r=b"))
	requireCode(t, packets.ServerUnavailable, got)
}

// TestFirstMessage holds what a client-first-message may look like.
func TestFirstMessage(t *testing.T) {
	a := newAuthenticator(t, Config{Users: Map{"a,b=c": keysOf(t, "p"), "ann": keysOf(t, "p")}})
	for _, good := range []string{"n,,n=ann,r=x", "y,,n=ann,r=x", "n,a=ann,n=ann,r=!~", "n,a=a=2Cb=3Dc,n=a=2Cb=3Dc,r=x", "n,,n=ann,r=x,f=oo,G=o"} {
		step, err := begin(t, a, new(shoal.Credentials)).Step(t.Context(), []byte(good))
		require.NoError(t, err, good)
		require.Contains(t, string(step.Data), "r=")
		require.Greater(t, len(step.Data), 60)
	}
	for _, tc := range [][2]string{
		{"n", "GS2 header"},
		{"n,", "within the GS2 header"},
		{"p=tls-unique,,n=ann,r=x", "channel binding"},
		{"x,,n=ann,r=x", "begin with n or y"},
		{"n,ann,n=ann,r=x", "without a="},
		{"n,a=,n=ann,r=x", "empty name"},
		{"n,a=bob,n=ann,r=x", "authorisation identity"},
		{"n,,m=1,n=ann,r=x", "extension (m=)"},
		{"n,,r=x,n=ann", "in this order"},
		{"n,,n=ann", "the nonce (r=)"},
		{"n,,n=,r=x", "empty name"},
		{"n,,n=a=b,r=x", "=2C or =3D"},
		{"n,,n=a=,r=x", "=2C or =3D"},
		{"n,,n=a=2c,r=x", "=2C or =3D"},
		{"n,,n=ann,r=", "no valid nonce"},
		{"n,,n=ann,r=a b", "no valid nonce"},
		{"n,,n=ann,r=x,1=2", "has an extension"},
		{"n,,n=ann,r=x,", "has an extension"},
		{"n,,n=a\x01,r=x", "prohibits"},
		{"n,,n=a\x00,r=x", "NUL"},
		{"n,,n=\xff,r=x", "UTF-8"},
	} {
		_, err := begin(t, a, new(shoal.Credentials)).Step(t.Context(), []byte(tc[0]))
		requireCode(t, packets.NotAuthorized, err)
		require.ErrorContains(t, err, tc[1], tc[0])
	}
}

// TestFinalMessage holds what a client-final-message must be.
func TestFinalMessage(t *testing.T) {
	a := newAuthenticator(t, Config{Users: Map{"ann": keysOf(t, "p")}})
	for _, tc := range []struct {
		name, reason string
		code         packets.ReasonCode
		change       func(good string) string
	}{
		{"as it is", "", 0, func(good string) string { return good }},
		{"empty", "does not end with the proof", packets.NotAuthorized, func(string) string { return "" }},
		{"no proof", "does not end with the proof", packets.NotAuthorized, func(g string) string { g, _, _ = strings.Cut(g, ",p="); return g }},
		{"short proof", "32 bytes", packets.NotAuthorized, func(g string) string { g, _, _ = strings.Cut(g, ",p="); return g + ",p=YQ==" }},
		{"proof with a line break", "32 bytes", packets.NotAuthorized, func(g string) string { return g + "\n" }},
		{"another proof", "wrong password", packets.BadUserNameOrPassword, func(g string) string {
			g, _, _ = strings.Cut(g, ",p=")
			return g + ",p=" + base64.StdEncoding.EncodeToString(make([]byte, 32))
		}},
		{"another channel binding", "channel binding", packets.NotAuthorized, func(g string) string { return strings.Replace(g, "biws", "eSws", 1) }},
		{"channel binding not base64", "channel binding", packets.NotAuthorized, func(g string) string { return strings.Replace(g, "biws", "biw", 1) }},
		{"no channel binding", "must begin with the channel binding", packets.NotAuthorized, func(g string) string { return strings.TrimPrefix(g, "c=biws,") }},
		{"another nonce", "nonce", packets.NotAuthorized, func(g string) string { return strings.Replace(g, "r=", "r=a", 1) }},
		{"no nonce", "nonce", packets.NotAuthorized, func(g string) string { return strings.Replace(g, "r=", "q=", 1) }},
		{"an extension that is not signed", "wrong password", packets.BadUserNameOrPassword, func(g string) string { return strings.Replace(g, ",p=", ",x=y,p=", 1) }},
		{"not an extension", "extension", packets.NotAuthorized, func(g string) string { return strings.Replace(g, ",p=", ",,p=", 1) }},
		{"NUL", "NUL", packets.NotAuthorized, func(g string) string { return "\x00" + g }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			x, c := begin(t, a, new(shoal.Credentials)), &client{user: "ann", password: "p"}
			step, err := x.Step(t.Context(), nil)
			require.NoError(t, err)
			require.Equal(t, shoal.AuthenticationStep{}, step)
			step, err = x.Step(t.Context(), c.first())
			require.NoError(t, err)
			step, err = x.Step(t.Context(), []byte(tc.change(string(c.final(step.Data)))))
			if tc.reason == "" {
				require.NoError(t, err)
				require.True(t, step.Done && c.satisfied(step.Data))
				return
			}
			requireCode(t, tc.code, err)
			require.ErrorContains(t, err, tc.reason)
			require.Zero(t, step)
		})
	}
}

// TestPlain holds that clients without a method are let in only if that was asked for.
func TestPlain(t *testing.T) {
	users := Map{"ann": keysOf(t, "pencil"), "IX": keysOf(t, "\u2168")}
	off := newAuthenticator(t, Config{Users: users})
	_, err := off.Authenticate(t.Context(), &shoal.Credentials{UserName: "ann", Password: []byte("pencil")})
	requireCode(t, packets.BadAuthenticationMethod, err)
	on := newAuthenticator(t, Config{Users: users, Plain: true})
	for _, tc := range []struct{ user, password, want string }{
		{"ann", "pencil", "ann"},
		{"I\u00ADX", "IX", "IX"},
		{"ann", "pen", ""},
		{"ann", "", ""},
		{"", "pencil", ""},
		{"bob", "pencil", ""},
		{"ann\x00", "pencil", ""},
	} {
		p, err := on.Authenticate(t.Context(), &shoal.Credentials{UserName: tc.user, Password: []byte(tc.password)})
		if tc.want == "" {
			requireCode(t, packets.BadUserNameOrPassword, err)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, tc.want, p.Name)
	}
}

// speaker is a client of a broker.
type speaker struct {
	t *testing.T
	*mqtttest.Client
}

func properties(data []byte) packets.Properties {
	return packets.Properties{AuthenticationMethod: packets.Some(Method), AuthenticationData: data}
}

func dial(t *testing.T, b *shoal.Broker, v packets.Version) speaker {
	t.Helper()
	var conn net.Conn
	conn, err := b.Dial(t.Context())
	require.NoError(t, err)
	return speaker{t, mqtttest.New(t, conn, v)}
}

func start(t *testing.T, a shoal.Authenticator) *shoal.Broker {
	t.Helper()
	b, err := shoal.New(shoal.WithAuthenticator(a))
	require.NoError(t, err)
	require.NoError(t, b.Start(t.Context()))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Second)
		defer cancel()
		require.NoError(t, b.Shutdown(ctx))
	})
	return b
}

// TestBroker holds the whole way, at CONNECT and again, with the first message in CONNECT and in an AUTH of its own.
func TestBroker(t *testing.T) {
	b := start(t, newAuthenticator(t, Config{Users: Map{"ann": keysOf(t, "pencil"), "bob": keysOf(t, "pencil")}, Plain: true}))
	for _, early := range []bool{true, false} {
		cl, c := dial(t, b, packets.V5), &client{user: "ann", password: "pencil"}
		connect := &packets.Connect{ClientID: "c", CleanStart: true, Properties: properties(nil)}
		if early {
			connect.Properties = properties(c.first())
			cl.Send(connect)
		} else {
			cl.Send(connect)
			require.Nil(t, mqtttest.Expect[*packets.Auth](cl.Client).Properties.AuthenticationData)
			cl.Send(&packets.Auth{ReasonCode: packets.ContinueAuthentication, Properties: properties(c.first())})
		}
		challenge := mqtttest.Expect[*packets.Auth](cl.Client)
		require.Equal(t, packets.ContinueAuthentication, challenge.ReasonCode)
		cl.Send(&packets.Auth{ReasonCode: packets.ContinueAuthentication, Properties: properties(c.final(challenge.Properties.AuthenticationData))})
		ack := mqtttest.Expect[*packets.ConnAck](cl.Client)
		require.Equal(t, packets.Success, ack.ReasonCode)
		require.True(t, c.satisfied(ack.Properties.AuthenticationData))

		again := &client{user: "ann", password: "pencil"}
		cl.Send(&packets.Auth{ReasonCode: packets.ReAuthenticate, Properties: properties(again.first())})
		challenge = mqtttest.Expect[*packets.Auth](cl.Client)
		cl.ExpectQuiet()
		cl.Send(&packets.Auth{ReasonCode: packets.ContinueAuthentication, Properties: properties(again.final(challenge.Properties.AuthenticationData))})
		last := mqtttest.Expect[*packets.Auth](cl.Client)
		require.Equal(t, packets.Success, last.ReasonCode)
		require.True(t, again.satisfied(last.Properties.AuthenticationData))

		other := &client{user: "bob", password: "pencil"}
		cl.Send(&packets.Auth{ReasonCode: packets.ReAuthenticate, Properties: properties(other.first())})
		d := cl.ExpectDisconnect(packets.NotAuthorized)
		require.Contains(t, d.Properties.ReasonString.Value, "the same user")
	}
	cl, c := dial(t, b, packets.V5), &client{user: "ann", password: "pencils"}
	cl.Send(&packets.Connect{ClientID: "c", CleanStart: true, Properties: properties(c.first())})
	challenge := mqtttest.Expect[*packets.Auth](cl.Client)
	cl.Send(&packets.Auth{ReasonCode: packets.ContinueAuthentication, Properties: properties(c.final(challenge.Properties.AuthenticationData))})
	require.Equal(t, packets.BadUserNameOrPassword, mqtttest.Expect[*packets.ConnAck](cl.Client).ReasonCode)
	cl.ExpectClosed()

	old := dial(t, b, packets.V311)
	old.Connect(&packets.Connect{ClientID: "old", CleanStart: true, UserName: packets.Some("ann"), Password: []byte("pencil")})
	old.ExpectQuiet()
}
