package jwt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/golang-jwt/jwt/v5"

	"github.com/shoalmq/shoal/auth/acl"
	"github.com/shoalmq/shoal/auth/source"
)

// verifier is a key of a known type.
type verifier struct {
	id   string
	alg  string // the only one it may be used for; empty: all of its type
	kind string
	key  any
}

// New makes an Authenticator, or says what is wrong with cfg. It does no I/O.
func New(cfg Config) (*source.Authenticator, error) {
	cfg, keys, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	t := &tokens{cfg: cfg, keys: keys}
	if cfg.JWKS != "" {
		t.set = newKeySet(&cfg)
	} else {
		cfg.Source.Local = true
	}
	options := []jwt.ParserOption{
		jwt.WithValidMethods(cfg.Algorithms), jwt.WithLeeway(cfg.Leeway), jwt.WithJSONNumber(), jwt.WithStrictDecoding(),
	}
	if !cfg.NoExpiry {
		options = append(options, jwt.WithExpirationRequired())
	}
	if cfg.Issuer != "" {
		options = append(options, jwt.WithIssuer(cfg.Issuer))
	}
	if cfg.Audience != "" {
		options = append(options, jwt.WithAudience(cfg.Audience))
	}
	t.parser = jwt.NewParser(options...)
	return source.New(t, cfg.Source)
}

// tokens is a source.Source.
type tokens struct {
	cfg    Config
	keys   []verifier
	set    *keySet // nil without a JWK set
	parser *jwt.Parser
}

var (
	_ source.Keyed = (*tokens)(nil)
	_ io.Closer    = (*tokens)(nil)
)

// longestToken is how many bytes of a token are looked at.
const longestToken = 16 << 10

// Close implements io.Closer.
func (t *tokens) Close() error {
	if t.set != nil {
		t.set.close()
	}
	return nil
}

// Key implements source.Keyed.
func (t *tokens) Key(q *source.Query) string {
	if t.cfg.ClientIDClaim == "" {
		return ""
	}
	return q.Credentials.ClientID
}

// Rules implements source.Source: all rules come with the login.
func (*tokens) Rules(context.Context, *source.Subject) (*acl.List, error) { return nil, nil }

func refused(format string, args ...any) error {
	return fmt.Errorf("%w: %w", source.ErrRefused, fmt.Errorf(format, args...))
}

// User implements source.Source.
func (t *tokens) User(ctx context.Context, q *source.Query) (*source.User, error) {
	text := string(q.Credentials.Password)
	if t.cfg.From == FromUserName {
		text = q.Credentials.UserName
	}
	if text == "" || len(text) > longestToken {
		return nil, refused("jwt: the token is empty or longer than %d bytes", longestToken)
	}
	var unavailable error
	claims := make(jwt.MapClaims)
	_, err := t.parser.ParseWithClaims(text, claims, func(token *jwt.Token) (any, error) {
		keys, err := t.keysFor(ctx, token)
		if err != nil {
			unavailable = err
			return nil, err
		}
		return keys, nil
	})
	switch {
	case unavailable != nil:
		return nil, unavailable
	case err != nil:
		return nil, refused("jwt: %w", err)
	}
	return t.user(q, claims)
}

// keysFor returns the keys that a token may have been signed with: those of its algorithm's type.
func (t *tokens) keysFor(ctx context.Context, token *jwt.Token) (jwt.VerificationKeySet, error) {
	alg := token.Method.Alg()
	id, _ := token.Header["kid"].(string)
	fits := func(v verifier) bool {
		return slices.Contains(algorithms[v.kind], alg) && (v.alg == "" || v.alg == alg) &&
			(id == "" || v.id == "" || v.id == id)
	}
	set := jwt.VerificationKeySet{}
	add := func(all []verifier) {
		for _, v := range all {
			if fits(v) {
				set.Keys = append(set.Keys, v.key)
			}
		}
	}
	add(t.keys)
	if t.set == nil || len(set.Keys) > 0 {
		return set, nil
	}
	all, err := t.set.get(ctx, func(all []verifier) bool { return slices.ContainsFunc(all, fits) })
	if err != nil {
		return set, err
	}
	add(all)
	return set, nil
}

// user makes a user of claims.
func (t *tokens) user(q *source.Query, claims jwt.MapClaims) (*source.User, error) {
	c := q.Credentials
	name, _ := claims[t.cfg.NameClaim].(string)
	if name == "" {
		return nil, refused("jwt: the claim %s is no name", t.cfg.NameClaim)
	}
	if t.cfg.From == FromPassword && c.UserName != "" && c.UserName != name && !t.cfg.AnyUserName {
		return nil, refused("jwt: the token is another user's")
	}
	if claim := t.cfg.ClientIDClaim; claim != "" {
		if id, _ := claims[claim].(string); id == "" || id != c.ClientID {
			return nil, refused("jwt: the claim %s is not the client ID", claim)
		}
	}
	u := &source.User{Name: name, Verified: true, HasRules: true, Attributes: make(map[string]string)}
	for key, value := range claims {
		switch v := value.(type) {
		case string:
			u.Attributes[key] = v
		case json.Number:
			u.Attributes[key] = v.String()
		case bool:
			u.Attributes[key] = strconv.FormatBool(v)
		}
	}
	expires, err := claims.GetExpirationTime()
	if err != nil {
		return nil, refused("jwt: %w", err)
	}
	if expires != nil {
		u.Expires = expires.Add(t.cfg.Leeway)
	}
	if claim, ok := claims[t.cfg.RulesClaim]; ok {
		if u.Rules, err = t.rules(claim); err != nil {
			return nil, refused("jwt: the claim %s: %w", t.cfg.RulesClaim, err)
		}
	}
	return u, nil
}

func (t *tokens) rules(claim any) (*acl.List, error) {
	text, err := json.Marshal(claim)
	if err != nil {
		return nil, err
	}
	rules, err := acl.ParseJSON(t.cfg.Source.Order, text)
	if err != nil {
		return nil, err
	}
	return acl.Compile(t.cfg.Source.Order, rules)
}

var errNoKeys = errors.New("it has no keys that tokens are verified with")
