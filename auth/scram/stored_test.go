package scram

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/auth/acl"
	"github.com/shoalmq/shoal/auth/source"
	"github.com/shoalmq/shoal/packets"
)

// shelf is a source.Source that knows one hash for each of its users.
type shelf map[string]source.User

func (s shelf) User(_ context.Context, q *source.Query) (*source.User, error) {
	u, ok := s[q.Name]
	switch {
	case q.Name == "down":
		return nil, errors.New("away")
	case !ok:
		return nil, source.ErrUnknownUser
	}
	return &u, nil
}

func (shelf) Rules(context.Context, *source.Subject) (*acl.List, error) {
	return acl.Compile(acl.DenyWins, []acl.Rule{{Effect: acl.Allow, Filter: "u/%u"}})
}

func TestStoredKeys(t *testing.T) {
	k := keysOf(t, "pencil")
	a, err := source.New(shelf{
		"ann": {Hash: k.String()}, "bob": {Hash: k.String(), Disabled: true}, "eve": {Hash: "plain"}, "zoe": {Verified: true},
	}, source.Config{})
	require.NoError(t, err)
	defer func() { require.NoError(t, a.Close()) }()
	x, err := New(Config{Users: Stored(a)})
	require.NoError(t, err)
	login := func(user, password string) error {
		e, err := x.BeginAuthentication(t.Context(), &shoal.Credentials{}, Method)
		require.NoError(t, err)
		c := &client{user: user, password: password}
		step, err := e.Step(t.Context(), c.first())
		if err != nil {
			return err
		}
		step, err = e.Step(t.Context(), c.final(step.Data))
		if err == nil {
			require.True(t, c.satisfied(step.Data))
			require.Equal(t, user, step.Principal.Name)
			require.NoError(t, a.Authorize(t.Context(), &shoal.AccessRequest{Principal: step.Principal, Action: shoal.ActionPublish, Topic: "u/" + user}))
		}
		return err
	}
	require.NoError(t, login("ann", "pencil"))
	require.Error(t, login("ann", "pen"))
	require.Equal(t, packets.BadUserNameOrPassword, shoal.ReasonCodeOf(login("bob", "pencil"), 0))
	require.Equal(t, packets.BadUserNameOrPassword, shoal.ReasonCodeOf(login("nobody", "pencil"), 0))
	require.Equal(t, packets.BadUserNameOrPassword, shoal.ReasonCodeOf(login("zoe", "pencil"), 0))
	require.Equal(t, packets.ServerUnavailable, shoal.ReasonCodeOf(login("eve", "pencil"), 0))
	require.Equal(t, packets.ServerUnavailable, shoal.ReasonCodeOf(login("down", "pencil"), 0))
	// The same keys verify a password that is presented as it is.
	p, err := a.Authenticate(t.Context(), &shoal.Credentials{UserName: "ann", Password: []byte("pencil")})
	require.NoError(t, err)
	require.Equal(t, "ann", p.Name)
}
