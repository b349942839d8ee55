package scram

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/packets"
)

// Method is the name of the Authentication Method.
const Method = "SCRAM-SHA-256"

// Users knows the keys of users. It is called on the goroutines of connections, on several at once.
type Users interface {
	// Keys returns the keys of a user, whose name has been prepared with SASLprep. ok is false if there is no such user. An error that is
	// not a *shoal.Error becomes Server unavailable (0x88).
	Keys(ctx context.Context, userName string) (keys Keys, ok bool, err error)
}

// Map is Users by name. It must not be changed while it is in use.
type Map map[string]Keys

// Keys implements Users.
func (m Map) Keys(_ context.Context, userName string) (Keys, bool, error) {
	k, ok := m[userName]
	return k, ok, nil
}

// Config is what New takes.
type Config struct {
	// Users is required.
	Users Users
	// Plain lets clients in that name no Authentication Method, with User Name and Password. Their passwords travel as they are, so this
	// wants TLS, and each of them costs the server the hashing that SCRAM leaves to the client.
	Plain bool
	// Secret is what the salts of users that do not exist are made of; at least 16 bytes, the same on all nodes of a cluster. Default: a
	// random one.
	Secret []byte
	// Iterations is how many the users that do not exist seem to have. Default DefaultIterations.
	Iterations int
}

// Authenticator is a shoal.Authenticator and a shoal.EnhancedAuthenticator. Make one with New.
type Authenticator struct {
	cfg   Config
	nonce func() string
}

var _ interface {
	shoal.Authenticator
	shoal.EnhancedAuthenticator
} = (*Authenticator)(nil)

// New makes an Authenticator, or says what is wrong with cfg.
func New(cfg Config) (*Authenticator, error) {
	if cfg.Users == nil {
		return nil, errors.New("scram: Config.Users is nil; give the users, a Map for example")
	}
	if cfg.Secret == nil {
		cfg.Secret = []byte(rand.Text())
	}
	if len(cfg.Secret) < 16 {
		return nil, fmt.Errorf("scram: Config.Secret has %d bytes; it must have at least 16, or be nil", len(cfg.Secret))
	}
	cfg.Secret = append([]byte(nil), cfg.Secret...)
	if cfg.Iterations == 0 {
		cfg.Iterations = DefaultIterations
	}
	k := Keys{Salt: cfg.Secret[:16], Iterations: cfg.Iterations}
	if err := k.check(); err != nil {
		return nil, fmt.Errorf("%w: Config.Iterations", err)
	}
	return &Authenticator{cfg: cfg, nonce: rand.Text}, nil
}

// AuthenticationMethods implements shoal.EnhancedAuthenticator: Method.
func (a *Authenticator) AuthenticationMethods() []string { return []string{Method} }

// BeginAuthentication implements shoal.EnhancedAuthenticator.
func (a *Authenticator) BeginAuthentication(_ context.Context, c *shoal.Credentials, method string) (shoal.AuthenticationExchange, error) {
	if method != Method {
		return nil, &shoal.Error{ReasonCode: packets.BadAuthenticationMethod, Reason: "the authentication method is " + Method}
	}
	return &exchange{a: a, already: c.Principal}, nil
}

// errUnknown is the same for a name that does not exist and a password that is wrong.
var errUnknown = &shoal.Error{ReasonCode: packets.BadUserNameOrPassword, Reason: "unknown user or wrong password"}

// Authenticate implements shoal.Authenticator, for clients that name no method.
func (a *Authenticator) Authenticate(ctx context.Context, c *shoal.Credentials) (*shoal.Principal, error) {
	if !a.cfg.Plain {
		return nil, &shoal.Error{ReasonCode: packets.BadAuthenticationMethod, Reason: "this server wants the authentication method " + Method}
	}
	name, err := prepare(c.UserName)
	if err != nil {
		return nil, errUnknown
	}
	keys, known, err := a.keys(ctx, name)
	if err != nil {
		return nil, err
	}
	given, err := DeriveKeys(string(c.Password), keys.Salt, keys.Iterations)
	if err != nil || subtle.ConstantTimeCompare(given.StoredKey[:], keys.StoredKey[:]) != 1 || !known {
		return nil, errUnknown
	}
	return &shoal.Principal{Name: name}, nil
}

// keys returns the keys of a user, or, for one that does not exist, such as nobody can tell from real ones.
func (a *Authenticator) keys(ctx context.Context, name string) (k Keys, known bool, err error) {
	k, known, err = a.cfg.Users.Keys(ctx, name)
	if err == nil && known {
		err = k.check()
	}
	if err != nil {
		var coded *shoal.Error
		if errors.As(err, &coded) {
			return Keys{}, false, err
		}
		return Keys{}, false, &shoal.Error{ReasonCode: packets.ServerUnavailable, Reason: "the users cannot be looked up now", Err: err}
	}
	if !known {
		k = Keys{Salt: mac(a.cfg.Secret, "salt "+name)[:saltSize], Iterations: a.cfg.Iterations}
		k.StoredKey = sha256.Sum256(mac(a.cfg.Secret, "key "+name))
	}
	return k, known, nil
}
