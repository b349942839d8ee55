package source

import (
	"context"
	"errors"
	"time"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/packets"
)

// answer is what a Source has said of a user; refusal is ErrUnknownUser, ErrRefused, ErrMalformed
// or nil.
type answer struct {
	user    *User
	refusal error
}

// Refusals. They are the same for a name that does not exist and a password that is wrong.
func badPassword(err error) error {
	return &shoal.Error{
		ReasonCode: packets.BadUserNameOrPassword, Reason: "unknown user or wrong password", Err: err,
	}
}

func notAuthorised(reason string) error {
	return &shoal.Error{ReasonCode: packets.NotAuthorized, Reason: reason}
}

func unavailable(err error) error {
	return &shoal.Error{
		ReasonCode: packets.ServerUnavailable, Reason: "users cannot be looked up now; try again", Err: err,
	}
}

// Authenticate implements shoal.Authenticator.
func (a *Authenticator) Authenticate(ctx context.Context, c *shoal.Credentials) (*shoal.Principal, error) {
	if a.cfg.Login == Anyone || a.cfg.Anonymous && a.cfg.Login == ByUserName && c.UserName == "" {
		return a.principal(c.UserName, &User{Verified: true}), nil
	}
	q := &Query{Name: c.UserName, Credentials: c}
	if a.cfg.Login == ByClientID {
		q.Name = c.ClientID
	}
	if (q.Name == "" || len(c.Password) == 0) && !a.cfg.NoPassword {
		a.n.badPassword.Add(1)
		return nil, badPassword(errors.New("no name or no password was given"))
	}
	found, err := a.user(ctx, q)
	switch {
	case isDown(err) && a.cfg.WhenDown == Allow:
		a.n.allowedDown.Add(1)
		return a.principal(q.Name, &User{Verified: true}), nil
	case err != nil:
		return nil, unavailable(err)
	}
	if err := a.verify(ctx, q, found); err != nil {
		return nil, err
	}
	name := found.user.Name
	if name == "" {
		name = q.Name
	}
	return a.principal(name, found.user), nil
}

func (a *Authenticator) principal(name string, u *User) *shoal.Principal {
	a.n.logins.Add(1)
	return &shoal.Principal{Name: name, Data: &login{user: u}, Expires: u.Expires, ClientID: u.ClientID}
}

// Lookup returns what the source, or the cache, knows of a user, without verifying anything. Errors are
// ErrUnknownUser, ErrRefused and ErrMalformed; any other says that the source could not be asked.
func (a *Authenticator) Lookup(ctx context.Context, name string) (*User, error) {
	found, err := a.user(ctx, &Query{Name: name, Credentials: &shoal.Credentials{UserName: name}})
	if err == nil {
		err = found.refusal
	}
	if err != nil {
		return nil, err
	}
	known := *found.user
	return &known, nil
}

// user returns what the source knows of who asks.
func (a *Authenticator) user(ctx context.Context, q *Query) (answer, error) {
	if a.cfg.Local {
		return askHere(ctx, a, func(ctx context.Context) (answer, error) { return a.askUser(ctx, q) })
	}
	var extra string
	if k, ok := a.source.(Keyed); ok {
		extra = k.Key(q)
	}
	byName := a.mac("name", q.Name, extra)
	byPassword := a.mac("password", q.Name, extra, string(q.Credentials.Password))
	now := time.Now()
	var old answer
	var stale bool
	for _, key := range []string{byName, byPassword} {
		found, ok, fresh := a.users.get(key, now)
		if fresh {
			a.n.hits.Add(1)
			return found, nil
		}
		if ok {
			old, stale = found, true
		}
	}
	return ask(ctx, a, a.users, question[answer]{
		kind: "user", key: byPassword, name: a.label(q.Name),
		ask: func(ctx context.Context) (answer, error) { return a.askUser(ctx, q) },
		keep: func(found answer) (string, time.Duration) {
			key := byName
			if errors.Is(found.refusal, ErrRefused) || found.user != nil && found.user.Verified {
				key = byPassword
			}
			return key, a.untilExpiry(found)
		},
	}, old, stale)
}

// untilExpiry is how long an answer may be kept.
func (a *Authenticator) untilExpiry(found answer) time.Duration {
	ttl := a.until(found.refusal == nil)
	if found.user != nil && !found.user.Expires.IsZero() {
		ttl = min(ttl, time.Until(found.user.Expires))
	}
	return ttl
}

func (a *Authenticator) askUser(ctx context.Context, q *Query) (answer, error) {
	u, err := a.source.User(ctx, q)
	switch {
	case errors.Is(err, ErrUnknownUser), errors.Is(err, ErrRefused):
		return answer{refusal: err}, nil
	case errors.Is(err, ErrMalformed):
		a.malformed(q.Name, err)
		return answer{refusal: err}, nil
	case err == nil && u == nil:
		return answer{}, errors.New("the source returned neither a user nor an error")
	}
	return answer{user: u}, err
}

// verify refuses whom the answer of the source does not let in.
func (a *Authenticator) verify(ctx context.Context, q *Query, found answer) error {
	given := q.Credentials.Password
	u := found.user
	switch {
	case errors.Is(found.refusal, ErrUnknownUser):
		a.n.unknown.Add(1)
		if h := a.decoy.Load(); h != nil {
			_, _ = a.cfg.Limiter.Verify(ctx, h, given) // only the time counts
		}
		return badPassword(found.refusal)
	case errors.Is(found.refusal, ErrMalformed):
		a.n.otherRefusal.Add(1)
		return badPassword(found.refusal)
	case found.refusal != nil:
		a.n.badPassword.Add(1)
		return badPassword(found.refusal)
	case !u.Verified:
		if err := a.verifyHash(ctx, q.Name, u, given); err != nil {
			return err
		}
	}
	if u.Disabled {
		a.n.otherRefusal.Add(1)
		return notAuthorised("the user is disabled")
	}
	if expired(u) {
		a.n.otherRefusal.Add(1)
		return notAuthorised("the login has expired")
	}
	return nil
}

func expired(u *User) bool { return !u.Expires.IsZero() && !time.Now().Before(u.Expires) }

// verifyHash compares a password with what is stored. A slow hash is not computed again for a
// password that was right.
func (a *Authenticator) verifyHash(ctx context.Context, name string, u *User, given []byte) error {
	h, err := a.cfg.Passwords.Parse(u.Hash, u.Salt)
	if err != nil {
		a.n.otherRefusal.Add(1)
		a.malformed(name, err)
		return badPassword(err)
	}
	var proof string
	if h.Slow() {
		a.decoy.CompareAndSwap(nil, h)
		proof = a.mac("proof", u.Hash, u.Salt, string(given))
		if _, known, _ := a.proofs.get(proof, time.Now()); known {
			return nil
		}
	}
	ok, err := a.cfg.Limiter.Verify(ctx, h, given)
	switch {
	case err != nil:
		return unavailable(err)
	case !ok:
		a.n.badPassword.Add(1)
		return badPassword(ErrRefused)
	}
	if proof != "" && a.cfg.TTL > 0 {
		a.proofs.put(proof, a.label(name), struct{}{}, time.Now(), a.cfg.TTL, 0)
	}
	return nil
}

func (a *Authenticator) malformed(name string, err error) {
	a.cfg.Logger.Warn("what is stored of a user cannot be understood", "source", a.cfg.Name,
		"name", name, "error", err)
}
