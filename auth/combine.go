package auth

import (
	"context"
	"slices"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/packets"
)

// Principals returns what the members of First or All had to say of a client: the Principals they returned, in order, each once. For another
// Principal it returns that alone. Hooks that look for the Data of an Authenticator find it so.
func Principals(p *shoal.Principal) []*shoal.Principal {
	f, ok := of(p)
	if !ok {
		return []*shoal.Principal{p}
	}
	var list []*shoal.Principal
	for _, m := range f.members {
		if m == nil {
			continue
		}
		for _, p := range Principals(m) {
			if !slices.Contains(list, p) {
				list = append(list, p)
			}
		}
	}
	return list
}

// findings is the Data of a combined Principal: what each member found, nil for those that were not asked.
type findings struct {
	by      *members
	members []*shoal.Principal
}

func of(p *shoal.Principal) (f *findings, ok bool) {
	if p != nil {
		f, ok = p.Data.(*findings)
	}
	return f, ok
}

// members are the authenticators that were combined.
type members []shoal.Authenticator

// findings returns what the members found about p; nil if p has a name only, as in the will of a client whose node was lost.
func (m *members) findings(p *shoal.Principal) []*shoal.Principal {
	if f, ok := of(p); ok && f.by == m {
		return f.members
	}
	return nil
}

// principal is a Principal that remembers what the members found. It expires when the first of theirs
// does, and has the first ClientID that one of them chose.
func (m *members) principal(name string, found []*shoal.Principal) *shoal.Principal {
	p := &shoal.Principal{Name: name, Data: &findings{m, found}}
	for _, f := range found {
		if f == nil {
			continue
		}
		if !f.Expires.IsZero() && (p.Expires.IsZero() || f.Expires.Before(p.Expires)) {
			p.Expires = f.Expires
		}
		if p.ClientID == "" {
			p.ClientID = f.ClientID
		}
	}
	return p
}

// part is p as member i must see it.
func (m *members) part(p *shoal.Principal, i int) *shoal.Principal {
	if found := m.findings(p); found != nil {
		return found[i]
	}
	return p
}

// credentials are c as member i must see them.
func (m *members) credentials(c *shoal.Credentials, i int) *shoal.Credentials {
	if c.Principal == nil {
		return c
	}
	own := *c
	own.Principal = m.part(c.Principal, i)
	return &own
}

// authorize asks member i.
func (m *members) authorize(ctx context.Context, r *shoal.AccessRequest, i int) error {
	z, ok := (*m)[i].(shoal.Authorizer)
	if !ok {
		return nil
	}
	own := *r
	own.Principal = m.part(r.Principal, i)
	return z.Authorize(ctx, &own)
}

// AuthenticationMethods are those of all members, each once.
func (m *members) AuthenticationMethods() (names []string) {
	for _, a := range *m {
		if e, ok := a.(shoal.EnhancedAuthenticator); ok {
			for _, name := range e.AuthenticationMethods() {
				if !slices.Contains(names, name) {
					names = append(names, name)
				}
			}
		}
	}
	return names
}

// offering returns the first member that offers a method.
func (m *members) offering(method string) (int, shoal.EnhancedAuthenticator, error) {
	for i, a := range *m {
		if e, ok := a.(shoal.EnhancedAuthenticator); ok && slices.Contains(e.AuthenticationMethods(), method) {
			return i, e, nil
		}
	}
	return 0, nil, &shoal.Error{ReasonCode: packets.BadAuthenticationMethod, Reason: "unknown authentication method"}
}

// exchange is that of one member, with a Principal of all.
type exchange struct {
	shoal.AuthenticationExchange
	principal func(*shoal.Principal) *shoal.Principal
}

func (x exchange) Step(ctx context.Context, data []byte) (shoal.AuthenticationStep, error) {
	step, err := x.AuthenticationExchange.Step(ctx, data)
	if err == nil && step.Done {
		step.Principal = x.principal(step.Principal)
	}
	return step, err
}

// orNamed is what stands for a nil Principal.
func orNamed(p *shoal.Principal, c *shoal.Credentials) *shoal.Principal {
	if p == nil {
		return &shoal.Principal{Name: c.UserName}
	}
	return p
}

// full is what a combination can do if its members can.
type full interface {
	shoal.Authenticator
	shoal.Authorizer
	shoal.EnhancedAuthenticator
}

// combine hides what f cannot do because no member can. Without members, or with one that is nil, it returns nil, which shoal.New refuses.
func combine(f full, a []shoal.Authenticator) shoal.Authenticator {
	if len(a) == 0 || slices.Contains(a, nil) {
		return nil
	}
	authorizer := slices.ContainsFunc(a, func(a shoal.Authenticator) bool { _, ok := a.(shoal.Authorizer); return ok })
	enhanced := slices.ContainsFunc(a, func(a shoal.Authenticator) bool { _, ok := a.(shoal.EnhancedAuthenticator); return ok })
	switch {
	case authorizer && enhanced:
		return f
	case authorizer:
		return struct {
			shoal.Authenticator
			shoal.Authorizer
		}{f, f}
	case enhanced:
		return struct {
			shoal.Authenticator
			shoal.EnhancedAuthenticator
		}{f, f}
	}
	return struct{ shoal.Authenticator }{f}
}
