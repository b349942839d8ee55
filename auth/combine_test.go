package auth_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/auth"
	"github.com/shoalmq/shoal/packets"
)

// people know names. Each name is answered with a Principal that has the same Data, or refused with a code.
type people struct {
	data    string
	names   map[string]packets.ReasonCode
	asked   int
	already *shoal.Principal
}

func (p *people) Authenticate(_ context.Context, c *shoal.Credentials) (*shoal.Principal, error) {
	p.asked++
	p.already = c.Principal
	code, ok := p.names[c.UserName]
	switch {
	case !ok:
		return nil, &shoal.Error{ReasonCode: packets.BadUserNameOrPassword, Reason: "unknown to " + p.data}
	case code != packets.Success:
		return nil, fmt.Errorf("wrapped: %w", &shoal.Error{ReasonCode: code, Reason: "refused by " + p.data})
	}
	return &shoal.Principal{Name: c.UserName, Data: p.data}, nil
}

// guards are people that allow topics only to whom they have let in, or whom they know by name.
type guards struct {
	people
	topics []string
}

var errDenied = errors.New("denied")

func (g *guards) Authorize(_ context.Context, r *shoal.AccessRequest) error {
	if r.Principal.Data != nil && r.Principal.Data != g.data {
		return fmt.Errorf("%s was asked about a principal of %v", g.data, r.Principal.Data)
	}
	for _, t := range g.topics {
		if t == r.Topic {
			return nil
		}
	}
	return fmt.Errorf("%s: %w", g.data, errDenied)
}

// exam is an EnhancedAuthenticator whose exchange says yes to "yes", at the second step.
type exam struct {
	guards
	methods []string
}

func (e *exam) AuthenticationMethods() []string { return e.methods }

func (e *exam) BeginAuthentication(_ context.Context, c *shoal.Credentials, method string) (shoal.AuthenticationExchange, error) {
	e.already = c.Principal
	if method == "closed" {
		return nil, errDenied
	}
	return &question{e: e}, nil
}

type question struct {
	e     *exam
	asked bool
}

func (q *question) Step(_ context.Context, data []byte) (shoal.AuthenticationStep, error) {
	switch {
	case !q.asked:
		q.asked = true
		return shoal.AuthenticationStep{Data: []byte("?")}, nil
	case string(data) == "nobody":
		return shoal.AuthenticationStep{Done: true}, nil
	case string(data) != "yes":
		return shoal.AuthenticationStep{}, errDenied
	}
	return shoal.AuthenticationStep{Done: true, Principal: &shoal.Principal{Name: "examined", Data: q.e.data}}, nil
}

func know(data string, names ...string) *people {
	p := &people{data: data, names: make(map[string]packets.ReasonCode)}
	for _, n := range names {
		p.names[n] = packets.Success
	}
	return p
}

func guard(p *people, topics ...string) *guards { return &guards{*p, topics} }

func user(name string) *shoal.Credentials { return &shoal.Credentials{UserName: name} }

// TestFirst holds who decides, and which refusal is told.
func TestFirst(t *testing.T) {
	one, two, three := know("one", "ann", "cat"), know("two", "bob", "cat"), know("three", "eve")
	two.names["busy"], two.names["down"], two.names["out"] = packets.ServerBusy, packets.ServerUnavailable, packets.Banned
	three.names["busy"], three.names["down"], three.names["out"] = packets.NotAuthorized, packets.ServerBusy, packets.Success
	a := auth.First(one, two, three)
	for name, by := range map[string]string{"ann": "one", "bob": "two", "cat": "one", "eve": "three"} {
		p, err := a.Authenticate(t.Context(), user(name))
		require.NoError(t, err)
		require.Equal(t, name, p.Name)
		require.Equal(t, []*shoal.Principal{{Name: name, Data: by}}, auth.Principals(p))
	}
	for name, want := range map[string]packets.ReasonCode{
		"zoe": packets.BadUserNameOrPassword, "busy": packets.ServerBusy, "down": packets.ServerUnavailable, "out": packets.Banned,
	} {
		p, err := a.Authenticate(t.Context(), user(name))
		require.Nil(t, p)
		require.Equal(t, want, shoal.ReasonCodeOf(err, packets.Success), name)
	}
	_, err := a.Authenticate(t.Context(), user("zoe"))
	require.ErrorContains(t, err, "unknown to three")
}

// TestAll holds that everyone must agree, and whose name counts.
func TestAll(t *testing.T) {
	one, two := know("one", "ann", "bob"), know("two", "ann", "cat")
	a := auth.All(one, two)
	p, err := a.Authenticate(t.Context(), user("ann"))
	require.NoError(t, err)
	require.Equal(t, "ann", p.Name)
	require.Equal(t, []*shoal.Principal{{Name: "ann", Data: "one"}, {Name: "ann", Data: "two"}}, auth.Principals(p))
	_, err = a.Authenticate(t.Context(), user("bob"))
	require.ErrorContains(t, err, "unknown to two")
	asked := two.asked
	_, err = a.Authenticate(t.Context(), user("cat"))
	require.ErrorContains(t, err, "unknown to one")
	require.Equal(t, asked, two.asked, "nobody is asked after a refusal")
}

// TestExpiryAndClientID holds that the first end counts, and the first ClientID.
func TestExpiryAndClientID(t *testing.T) {
	soon, later := time.Now().Add(time.Minute), time.Now().Add(time.Hour)
	member := func(p shoal.Principal) shoal.Authenticator { return fixed{&p} }
	a := auth.All(member(shoal.Principal{Name: "a", Expires: later}), member(shoal.Principal{}), member(shoal.Principal{Expires: soon, ClientID: "id"}))
	p, err := a.Authenticate(t.Context(), user("x"))
	require.NoError(t, err)
	require.Equal(t, soon, p.Expires)
	require.Equal(t, "id", p.ClientID)
	p, err = auth.First(member(shoal.Principal{Name: "a", Expires: later, ClientID: "id"})).Authenticate(t.Context(), user("x"))
	require.NoError(t, err)
	require.Equal(t, later, p.Expires)
	require.Equal(t, "id", p.ClientID)
}

// fixed lets everybody in as the same.
type fixed struct{ p *shoal.Principal }

func (f fixed) Authenticate(context.Context, *shoal.Credentials) (*shoal.Principal, error) {
	return f.p, nil
}

// allows says which of the topics a client may use.
func allows(t *testing.T, a shoal.Authenticator, p *shoal.Principal) (topics []string) {
	t.Helper()
	for _, topic := range []string{"x", "y", "z"} {
		if a.(shoal.Authorizer).Authorize(t.Context(), &shoal.AccessRequest{Principal: p, Topic: topic}) == nil {
			topics = append(topics, topic)
		}
	}
	return topics
}

// TestAuthorize holds who is asked about a client, and that a refusal wins.
func TestAuthorize(t *testing.T) {
	login := func(a shoal.Authenticator, name string) *shoal.Principal {
		p, err := a.Authenticate(t.Context(), user(name))
		require.NoError(t, err)
		return p
	}
	nameOnly := &shoal.Principal{Name: "ann"}
	first := auth.First(guard(know("one", "ann"), "x", "y"), guard(know("two", "bob"), "y", "z"), know("three", "eve"))
	require.Equal(t, []string{"x", "y"}, allows(t, first, login(first, "ann")))
	require.Equal(t, []string{"y", "z"}, allows(t, first, login(first, "bob")))
	require.Equal(t, []string{"x", "y", "z"}, allows(t, first, login(first, "eve")))
	two := auth.First(guard(know("one", "ann"), "x"), guard(know("two", "bob"), "z"))
	require.Equal(t, []string{"x", "z"}, allows(t, two, nameOnly))

	all := auth.All(guard(know("one", "ann"), "x", "y"), know("two", "ann"), guard(know("three", "ann"), "y", "z"))
	require.Equal(t, []string{"y"}, allows(t, all, login(all, "ann")))
	require.Equal(t, []string{"y"}, allows(t, all, nameOnly))

	// Combined again.
	deep := auth.First(auth.All(guard(know("one", "ann"), "x", "y"), guard(know("two", "ann"), "y")), guard(know("three", "bob"), "z"))
	require.Equal(t, []string{"y"}, allows(t, deep, login(deep, "ann")))
	require.Equal(t, []string{"z"}, allows(t, deep, login(deep, "bob")))
	require.Equal(t, []*shoal.Principal{{Name: "ann", Data: "one"}, {Name: "ann", Data: "two"}}, auth.Principals(login(deep, "ann")))

	// An Authorizer alone, with the Principal of the Authenticator it was given to.
	authorized := auth.Authorized(know("one", "ann"), guard(know("one"), "z"))
	require.Equal(t, []string{"z"}, allows(t, authorized, login(authorized, "ann")))
	require.Equal(t, []*shoal.Principal{{Name: "ann", Data: "one"}}, auth.Principals(login(authorized, "ann")))
	both := auth.Authorized(guard(know("one", "ann"), "x", "y"), guard(know("one"), "y", "z"))
	require.Equal(t, []string{"y"}, allows(t, both, login(both, "ann")))
}

// TestInterfaces holds that a combination can do what one of its members can, and nothing else.
func TestInterfaces(t *testing.T) {
	plain, guarded := know("one"), guard(know("two"))
	examined := &exam{guards: *guarded, methods: []string{"m", "n"}}
	onlyExam := struct {
		shoal.Authenticator
		shoal.EnhancedAuthenticator
	}{plain, examined}
	for _, tc := range []struct {
		members              []shoal.Authenticator
		authorizer, enhanced bool
	}{
		{[]shoal.Authenticator{plain, plain}, false, false},
		{[]shoal.Authenticator{plain, guarded}, true, false},
		{[]shoal.Authenticator{onlyExam, plain}, false, true},
		{[]shoal.Authenticator{onlyExam, guarded}, true, true},
		{[]shoal.Authenticator{examined, plain}, true, true},
	} {
		for _, a := range []shoal.Authenticator{auth.First(tc.members...), auth.All(tc.members...), auth.All(auth.First(tc.members...), plain)} {
			_, ok := a.(shoal.Authorizer)
			require.Equal(t, tc.authorizer, ok)
			e, ok := a.(shoal.EnhancedAuthenticator)
			require.Equal(t, tc.enhanced, ok)
			if ok {
				require.Equal(t, []string{"m", "n"}, e.AuthenticationMethods())
			}
		}
	}
	other := &exam{methods: []string{"n", "o"}}
	require.Equal(t, []string{"m", "n", "o"}, auth.First(examined, other).(shoal.EnhancedAuthenticator).AuthenticationMethods())
	for _, a := range []shoal.Authenticator{auth.First(), auth.All(), auth.First(plain, nil), auth.All(nil, plain), auth.Authorized(nil, guarded), auth.Authorized(plain, nil)} {
		require.Nil(t, a)
		_, err := shoal.New(shoal.WithAuthenticator(a))
		require.ErrorContains(t, err, "WithAuthenticator: nil")
	}
}

// run carries an exchange through.
func run(t *testing.T, a shoal.Authenticator, c *shoal.Credentials, method, say string) (*shoal.Principal, error) {
	t.Helper()
	x, err := a.(shoal.EnhancedAuthenticator).BeginAuthentication(t.Context(), c, method)
	if err != nil {
		return nil, err
	}
	step, err := x.Step(t.Context(), nil)
	require.NoError(t, err)
	require.Equal(t, shoal.AuthenticationStep{Data: []byte("?")}, step)
	step, err = x.Step(t.Context(), []byte(say))
	require.Equal(t, err == nil, step.Done)
	return step.Principal, err
}

// TestEnhanced holds which member an exchange is with, and what the others have to say.
func TestEnhanced(t *testing.T) {
	door, plain := &exam{guards: *guard(know("door"), "x"), methods: []string{"m", "closed"}}, know("plain", "ann")
	window := &exam{guards: *guard(know("window"), "z"), methods: []string{"m", "n"}}
	first := auth.First(plain, door, window)
	for method, topic := range map[string]string{"m": "x", "n": "z"} {
		p, err := run(t, first, user("nobody"), method, "yes")
		require.NoError(t, err)
		require.Equal(t, "examined", p.Name)
		require.Equal(t, []string{topic}, allows(t, first, p))
	}
	_, err := run(t, first, user("ann"), "m", "no")
	require.ErrorIs(t, err, errDenied)
	_, err = run(t, first, user("ann"), "closed", "")
	require.ErrorIs(t, err, errDenied)
	_, err = run(t, first, user("ann"), "other", "")
	require.Equal(t, packets.BadAuthenticationMethod, shoal.ReasonCodeOf(err, packets.Success))

	all := auth.All(door, plain)
	_, err = run(t, all, user("bob"), "m", "yes")
	require.ErrorContains(t, err, "unknown to plain")
	p, err := run(t, all, user("ann"), "m", "yes")
	require.NoError(t, err)
	require.Equal(t, "examined", p.Name)
	require.Equal(t, []*shoal.Principal{{Name: "examined", Data: "door"}, {Name: "ann", Data: "plain"}}, auth.Principals(p))
	require.Equal(t, []string{"x"}, allows(t, all, p))
	_, err = run(t, all, user("ann"), "other", "")
	require.Equal(t, packets.BadAuthenticationMethod, shoal.ReasonCodeOf(err, packets.Success))
	_, err = run(t, all, user("ann"), "closed", "")
	require.ErrorIs(t, err, errDenied)

	// In a re-authentication each sees who it has said the client is.
	again := user("ann")
	again.Principal = p
	p, err = run(t, all, again, "m", "nobody")
	require.NoError(t, err)
	require.Equal(t, "ann", p.Name)
	require.Equal(t, &shoal.Principal{Name: "examined", Data: "door"}, door.already)
	require.Equal(t, &shoal.Principal{Name: "ann", Data: "plain"}, plain.already)
}
