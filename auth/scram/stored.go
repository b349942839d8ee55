package scram

import (
	"context"
	"errors"
	"fmt"

	"github.com/shoalmq/shoal/auth/source"
)

// Stored returns the Users of a source, a database for example, which stores as the hash of a password
// what Keys.String writes. Answers are cached as a does it. Disabled users are unknown.
//
// To have a decide what these users may do, combine the two:
//
//	x, err := scram.New(scram.Config{Users: scram.Stored(a)})
//	auth.Authorized(x, a)
func Stored(a *source.Authenticator) Users { return stored{a} }

type stored struct{ a *source.Authenticator }

// Keys implements Users.
func (s stored) Keys(ctx context.Context, userName string) (k Keys, ok bool, err error) {
	u, err := s.a.Lookup(ctx, userName)
	switch {
	case errors.Is(err, source.ErrUnknownUser), errors.Is(err, source.ErrRefused):
		return Keys{}, false, nil
	case err != nil:
		return Keys{}, false, err
	case u.Disabled || u.Hash == "":
		return Keys{}, false, nil
	}
	if k, err = ParseKeys(u.Hash); err != nil {
		return Keys{}, false, fmt.Errorf("scram: the stored password of user %q: %w", userName, err)
	}
	return k, true, nil
}
