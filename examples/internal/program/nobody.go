package program

import (
	"context"
	"errors"
	"strings"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/auth/file"
	"github.com/shoalmq/shoal/packets"
)

// nobody is the authenticator behind a blacklist that has no datasource: whom the list says nothing of is refused.
type nobody struct{}

// Authenticate implements shoal.Authenticator.
func (nobody) Authenticate(context.Context, *shoal.Credentials) (*shoal.Principal, error) {
	return nil, &shoal.Error{ReasonCode: packets.NotAuthorized, Err: errors.New("the blacklist does not name the client, and there is no datasource")}
}

func trimNewline(s string) string { return strings.TrimRight(s, "\r\n") }

// withoutMethods is the blacklist, without its way of passing on AUTH packets if nobody is behind it who understands them.
func withoutMethods(l *file.Ledger) shoal.Authenticator {
	if len(l.AuthenticationMethods()) > 0 {
		return l
	}
	return struct {
		shoal.Authenticator
		shoal.Authorizer
	}{l, l}
}
