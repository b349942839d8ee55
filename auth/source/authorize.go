package source

import (
	"context"
	"time"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/auth/acl"
	"github.com/shoalmq/shoal/packets"
)

// Authorize implements shoal.Authorizer.
func (a *Authenticator) Authorize(ctx context.Context, r *shoal.AccessRequest) error {
	d, err := a.decide(ctx, r)
	switch {
	case isDown(err) && a.cfg.WhenDown == Allow:
		a.n.allowedDown.Add(1)
	case err != nil:
		a.n.denied.Add(1)
		return unavailable(err)
	case d == acl.Denied || d == acl.NoMatch && !a.cfg.AllowUnmatched:
		a.n.denied.Add(1)
		return &shoal.Error{ReasonCode: packets.NotAuthorized, Reason: "no rule allows it"}
	}
	a.n.allowed.Add(1)
	return nil
}

func (a *Authenticator) decide(ctx context.Context, r *shoal.AccessRequest) (acl.Decision, error) {
	l := loginOf(r.Principal)
	s := &Subject{ClientID: r.ClientID}
	if r.Principal != nil {
		s.UserName = r.Principal.Name
	}
	s.Name = s.UserName
	if a.cfg.ACL == ByClientID {
		s.Name = s.ClientID
	}
	if l != nil {
		s.User = l.user
	}
	switch {
	case s.User != nil && expired(s.User):
		return acl.Denied, nil
	case a.cfg.ACL == Anyone, s.User != nil && s.User.Superuser:
		return acl.Allowed, nil
	}
	if j, ok := a.source.(Judge); ok && (s.User == nil || !s.User.HasRules) {
		return a.judge(ctx, j, l, s, r)
	}
	list, err := a.rules(ctx, s)
	if err != nil {
		return acl.NoMatch, err
	}
	return a.access(l, s, list).Decide(r), nil
}

// access is the rules with the client's names in them.
func (a *Authenticator) access(l *login, s *Subject, list *acl.List) *acl.Access {
	if l != nil {
		if m := l.memo.p.Load(); m != nil && m.list == list {
			return m.access
		}
	}
	c := acl.Client{UserName: s.UserName, ClientID: s.ClientID}
	if s.User != nil {
		c.Attributes = s.User.Attributes
	}
	access := a.everybody.Merge(list).For(c)
	if l != nil {
		l.memo.p.Store(&memoised{list, access})
	}
	return access
}

// rules returns the rules of a client, from the cache or the source.
func (a *Authenticator) rules(ctx context.Context, s *Subject) (*acl.List, error) {
	if s.User != nil && s.User.HasRules {
		return s.User.Rules, nil
	}
	if a.cfg.Local {
		return askHere(ctx, a, func(ctx context.Context) (*acl.List, error) { return a.askRules(ctx, s) })
	}
	key := s.Name
	old, ok, fresh := a.lists.get(key, time.Now())
	if fresh {
		a.n.hits.Add(1)
		return old, nil
	}
	return ask(ctx, a, a.lists, question[*acl.List]{
		kind: "rules", key: key, name: s.Name,
		ask: func(ctx context.Context) (*acl.List, error) { return a.askRules(ctx, s) },
		keep: func(list *acl.List) (string, time.Duration) {
			return key, a.until(list.Len() > 0)
		},
	}, old, ok)
}

func (a *Authenticator) askRules(ctx context.Context, s *Subject) (*acl.List, error) {
	list, err := a.source.Rules(ctx, s)
	if list != nil && err != nil {
		a.cfg.Logger.Warn("rules cannot be understood", "source", a.cfg.Name, "name", s.Name, "error", err)
		err = nil
	}
	return list, err
}

// judge asks a Judge, or the cache, about one topic; Everybody has been asked before.
func (a *Authenticator) judge(
	ctx context.Context, j Judge, l *login, s *Subject, r *shoal.AccessRequest,
) (acl.Decision, error) {
	if d := a.access(l, s, nil).Decide(r); d != acl.NoMatch {
		return d, nil
	}
	if a.cfg.Local {
		return askHere(ctx, a, func(ctx context.Context) (acl.Decision, error) { return j.Judge(ctx, s, r) })
	}
	flags := string([]byte{byte(r.Action), byte(r.QoS), bit(r.Retain), bit(r.Will)})
	key := a.mac(s.UserName, s.ClientID, flags, r.Topic, r.Group)
	old, ok, fresh := a.decisions.get(key, time.Now())
	if fresh {
		a.n.hits.Add(1)
		return old, nil
	}
	return ask(ctx, a, a.decisions, question[acl.Decision]{
		kind: "judge", key: key, name: s.Name,
		ask: func(ctx context.Context) (acl.Decision, error) { return j.Judge(ctx, s, r) },
		keep: func(d acl.Decision) (string, time.Duration) {
			return key, a.until(d == acl.Allowed)
		},
	}, old, ok)
}

func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}
