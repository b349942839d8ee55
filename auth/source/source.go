package source

import (
	"context"
	"errors"
	"time"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/auth/acl"
)

// Source is a place where users, and what they may do, are kept. Its methods are called on many
// goroutines at once, and must return when ctx ends.
type Source interface {
	// User returns what is known of a client that wants to connect. ErrUnknownUser says that there
	// is no such user, ErrRefused that the source has refused it, ErrMalformed that what it keeps of
	// the user cannot be understood; any other error that the source could not say.
	User(ctx context.Context, q *Query) (*User, error)
	// Rules returns the rules for a client, which depend on Subject.Name only. A nil List has no
	// rules. A List that is returned together with an error is used, and the error logged; see
	// acl.Compile.
	Rules(ctx context.Context, s *Subject) (*acl.List, error)
}

// Judge is a Source that decides on each topic itself; its Rules are not asked for.
type Judge interface {
	Source
	// Judge decides on a request. Its answer is cached for this client, action, topic, QoS and
	// RETAIN.
	Judge(ctx context.Context, s *Subject, r *shoal.AccessRequest) (acl.Decision, error)
}

// Keyed is a Source whose answer depends on more than a client's name and password.
type Keyed interface {
	Source
	// Key returns what else the answer of User depends on, as a text of any form.
	Key(q *Query) string
}

var (
	// ErrUnknownUser says that a Source does not know a user.
	ErrUnknownUser = errors.New("source: unknown user")
	// ErrRefused says that a Source that verifies passwords itself has refused one.
	ErrRefused = errors.New("source: wrong password")
	// ErrMalformed says that what a Source keeps of a user cannot be understood. The user is
	// refused, and the reason logged; the source is not taken to be down.
	ErrMalformed = errors.New("source: malformed user")
)

// Query asks for a user.
type Query struct {
	// Name is the user name or the client ID, as Config.Login says. It is not empty, unless
	// Config.NoPassword is set.
	Name        string
	Credentials *shoal.Credentials
}

// User is what a Source knows of a user.
type User struct {
	// Name is what the Principal is called. Default: the name that was asked for.
	Name string
	// Hash is the stored hash of the password, in the form that Config.Passwords says, and Salt what
	// is stored beside it if the form has such.
	Hash, Salt string
	// Verified says that the Source has verified the password, or whatever the client has shown, so
	// that Hash is not looked at. One of the two is required.
	Verified bool
	// Disabled users may not connect.
	Disabled bool
	// Superuser may do everything: no rules are asked for.
	Superuser bool
	// Attributes are for rules with %{name}, and for hooks, see UserOf.
	Attributes map[string]string
	// Rules, if HasRules is set, are the client's rules until it connects again. Source.Rules is
	// not asked for them.
	Rules    *acl.List
	HasRules bool
	// Expires is when the login ends: the connection is closed then. The zero value: never.
	Expires time.Time
	// ClientID, if not empty, is the one that the client gets.
	ClientID string
}

// Subject is a client whose rules are asked for.
type Subject struct {
	// Name is what rules are kept by: the name of the principal, or the client ID, as Config.ACL
	// says.
	Name     string
	UserName string // the name of the principal
	ClientID string
	// User is what the source knew when the client connected; nil for the will of a client
	// whose node was lost.
	User *User
}

// login is the Data of a Principal.
type login struct {
	user *User
	memo memo
}

// UserOf returns what the source knew of a principal when it connected; nil if the principal is not
// of this package. It looks through Data that has a method Unwrap() *shoal.Principal. For
// principals of auth.All and auth.First look through auth.Principals.
func UserOf(p *shoal.Principal) *User {
	for p != nil {
		w, ok := p.Data.(interface{ Unwrap() *shoal.Principal })
		if !ok {
			break
		}
		p = w.Unwrap()
	}
	if l := loginOf(p); l != nil {
		return l.user
	}
	return nil
}

func loginOf(p *shoal.Principal) *login {
	if p == nil {
		return nil
	}
	l, _ := p.Data.(*login)
	return l
}
