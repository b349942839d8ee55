package auth

import (
	"context"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/packets"
)

// First returns an Authenticator that asks several, in order, until one accepts the client. Whoever says Banned (0x8A) has the last word. If
// nobody accepts the client, the error is Server unavailable (0x88) or Server busy (0x89) if one said so, since the client may be
// let in later, and otherwise that of the last.
//
// The one that has accepted a client decides what it may do, if it is an Authorizer; otherwise everything is allowed. For a client of which only the
// name is known, because its node was lost, one that allows is enough. A client that names an Authentication Method goes to
// the first that offers it, and to no other.
//
// Without members, or with one that is nil, it returns nil, which shoal.New refuses.
func First(a ...shoal.Authenticator) shoal.Authenticator { return combine(&first{a}, a) }

type first struct{ members }

// Authenticate implements shoal.Authenticator.
func (f *first) Authenticate(ctx context.Context, c *shoal.Credentials) (*shoal.Principal, error) {
	var refused error
	for i, a := range f.members {
		p, err := a.Authenticate(ctx, f.credentials(c, i))
		if err == nil {
			return f.found(orNamed(p, c), i), nil
		}
		switch shoal.ReasonCodeOf(refused, packets.NotAuthorized) {
		case packets.ServerUnavailable, packets.ServerBusy:
		default:
			refused = err
		}
		if shoal.ReasonCodeOf(err, packets.NotAuthorized) == packets.Banned {
			return nil, err
		}
	}
	return nil, refused
}

// found is the Principal of a client that member i has accepted as p.
func (f *first) found(p *shoal.Principal, i int) *shoal.Principal {
	found := make([]*shoal.Principal, len(f.members))
	found[i] = p
	return f.principal(p.Name, found)
}

// Authorize implements shoal.Authorizer.
func (f *first) Authorize(ctx context.Context, r *shoal.AccessRequest) error {
	found := f.findings(r.Principal)
	var refused error
	for i := range f.members {
		if known := found != nil; known && found[i] == nil {
			continue
		}
		if refused = f.authorize(ctx, r, i); refused == nil {
			return nil
		}
	}
	return refused
}

// BeginAuthentication implements shoal.EnhancedAuthenticator.
func (f *first) BeginAuthentication(ctx context.Context, c *shoal.Credentials, method string) (shoal.AuthenticationExchange, error) {
	i, e, err := f.offering(method)
	if err != nil {
		return nil, err
	}
	x, err := e.BeginAuthentication(ctx, f.credentials(c, i), method)
	if err != nil {
		return nil, err
	}
	return exchange{x, func(p *shoal.Principal) *shoal.Principal { return f.found(orNamed(p, c), i) }}, nil
}
