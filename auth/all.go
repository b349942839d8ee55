package auth

import (
	"context"

	"github.com/shoalmq/shoal"
)

// All returns an Authenticator that asks several, in order, all of which must accept the client; the first refusal counts, and nobody is asked
// after it. The client has the name that the first member gave it that returned a Principal. All members that are an Authorizer
// decide what it may do; here, too, the first refusal counts.
//
// A client that names an Authentication Method is authenticated by the first member that offers it, after all others have accepted it by
// Authenticate.
//
// Without members, or with one that is nil, it returns nil, which shoal.New refuses.
func All(a ...shoal.Authenticator) shoal.Authenticator { return combine(&all{a}, a) }

// Authorized returns a with an Authorizer, which is asked after a itself, if that is one, too.
func Authorized(a shoal.Authenticator, z shoal.Authorizer) shoal.Authenticator {
	if a == nil || z == nil {
		return nil
	}
	return All(a, permissions{z})
}

// permissions is an Authorizer as a member of All.
type permissions struct{ shoal.Authorizer }

// Authenticate accepts everybody, without a name: that is for the others.
func (permissions) Authenticate(context.Context, *shoal.Credentials) (*shoal.Principal, error) {
	return nil, nil //nolint:nilnil // as the interface allows
}

type all struct{ members }

// Authenticate implements shoal.Authenticator.
func (a *all) Authenticate(ctx context.Context, c *shoal.Credentials) (*shoal.Principal, error) {
	found, err := a.ask(ctx, c, -1)
	if err != nil {
		return nil, err
	}
	return a.together(found, c), nil
}

// ask asks all members but one, and returns what they found.
func (a *all) ask(ctx context.Context, c *shoal.Credentials, but int) ([]*shoal.Principal, error) {
	found := make([]*shoal.Principal, len(a.members))
	for i, m := range a.members {
		if i == but {
			continue
		}
		var err error
		if found[i], err = m.Authenticate(ctx, a.credentials(c, i)); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// together is the Principal of a client that all members have accepted.
func (a *all) together(found []*shoal.Principal, c *shoal.Credentials) *shoal.Principal {
	var who *shoal.Principal
	for _, p := range found {
		if p != nil {
			who = p
			break
		}
	}
	who = orNamed(who, c)
	for i, p := range found {
		if p == nil { // this member takes the others' word
			found[i] = who
		}
	}
	return a.principal(who.Name, found)
}

// Authorize implements shoal.Authorizer.
func (a *all) Authorize(ctx context.Context, r *shoal.AccessRequest) error {
	for i := range a.members {
		if err := a.authorize(ctx, r, i); err != nil {
			return err
		}
	}
	return nil
}

// BeginAuthentication implements shoal.EnhancedAuthenticator.
func (a *all) BeginAuthentication(ctx context.Context, c *shoal.Credentials, method string) (shoal.AuthenticationExchange, error) {
	i, e, err := a.offering(method)
	if err != nil {
		return nil, err
	}
	found, err := a.ask(ctx, c, i)
	if err != nil {
		return nil, err
	}
	x, err := e.BeginAuthentication(ctx, a.credentials(c, i), method)
	if err != nil {
		return nil, err
	}
	return exchange{x, func(p *shoal.Principal) *shoal.Principal {
		found[i] = orNamed(p, c)
		return a.together(found, c)
	}}, nil
}
