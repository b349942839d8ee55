package jwt

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/shoalmq/shoal/auth/source"
)

// From is where clients put their tokens.
type From string

// Where clients may put their tokens.
const (
	FromPassword From = "password" // the default
	FromUserName From = "user-name"
)

// Key is one that signatures are verified with.
type Key struct {
	// ID is compared with the kid of tokens that have one. An empty ID fits all.
	ID string
	// Secret is that of HMAC, at least 32 bytes. Exactly one of Secret and Public must be set.
	Secret []byte
	// Public is an *rsa.PublicKey of at least 2048 bits, an *ecdsa.PublicKey or an
	// ed25519.PublicKey.
	Public crypto.PublicKey
}

// Config is what New takes. Keys or JWKS are required.
type Config struct {
	Keys []Key
	// JWKS is the URL of a JWK set.
	JWKS string
	// TLS has the authorities of that URL.
	TLS *tls.Config
	// Refresh is after what time the JWK set is fetched again. Default one hour.
	Refresh time.Duration
	// KeepKeys is how long its keys are used while it cannot be fetched. Default 24 hours.
	KeepKeys time.Duration
	// Algorithms are those that are accepted. Default: all for which there is a key; for JWKS the
	// asymmetric ones.
	Algorithms []string
	// From is where the token is. Default FromPassword.
	From From
	// Issuer and Audience, if not empty, must be in iss and aud.
	Issuer, Audience string
	// Leeway is how wrong clocks may be. Default: not at all.
	Leeway time.Duration
	// NoExpiry accepts tokens without exp.
	NoExpiry bool
	// NameClaim has the name of the principal. Default "sub".
	NameClaim string
	// AnyUserName accepts tokens of others than the user name of the client says. Default: a user
	// name, if one is given with a token as the password, must be the principal's.
	AnyUserName bool
	// ClientIDClaim, if not empty, is a claim that must be the client's ID.
	ClientIDClaim string
	// RulesClaim has rules. Default "acl".
	RulesClaim string
	// Source says what is done with users and rules.
	Source source.Config
}

const (
	defaultRefresh  = time.Hour
	defaultKeepKeys = 24 * time.Hour
	shortestSecret  = 32
	smallestRSA     = 2048
)

// algorithms are those of each type of key.
var algorithms = map[string][]string{
	"HMAC": {"HS256", "HS384", "HS512"}, "RSA": {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"},
	"P-256": {"ES256"}, "P-384": {"ES384"}, "P-521": {"ES512"}, "Ed25519": {"EdDSA"},
}

// typeOf is the type of a key, or an error about it.
func typeOf(key any) (string, error) {
	switch k := key.(type) {
	case []byte:
		if len(k) < shortestSecret {
			return "", fmt.Errorf("the secret has %d bytes; it must have at least %d", len(k), shortestSecret)
		}
		return "HMAC", nil
	case *rsa.PublicKey:
		if k.N == nil || k.N.BitLen() < smallestRSA {
			return "", fmt.Errorf("the RSA key is smaller than %d bits", smallestRSA)
		}
		return "RSA", nil
	case *ecdsa.PublicKey:
		if k.Curve == nil {
			return "", errors.New("the ECDSA key has no curve")
		}
		return k.Params().Name, nil
	case ed25519.PublicKey:
		if len(k) != ed25519.PublicKeySize {
			return "", errors.New("the Ed25519 key has a wrong size")
		}
		return "Ed25519", nil
	}
	return "", fmt.Errorf("a %T is no key that tokens are verified with", key)
}

// withDefaults returns c with its defaults, and its keys ready for use, or says what is wrong.
func (c Config) withDefaults() (Config, []verifier, error) {
	if c.From == "" {
		c.From = FromPassword
	}
	if c.NameClaim == "" {
		c.NameClaim = "sub"
	}
	if c.RulesClaim == "" {
		c.RulesClaim = "acl"
	}
	if c.Refresh <= 0 {
		c.Refresh = defaultRefresh
	}
	if c.KeepKeys <= 0 {
		c.KeepKeys = defaultKeepKeys
	}
	if c.Source.Name == "" {
		c.Source.Name = "jwt"
	}
	c.Source.NoPassword = true // which is looked at here
	keys, err := c.keys()
	if err != nil {
		return c, nil, err
	}
	if c.From != FromPassword && c.From != FromUserName {
		return c, nil, fmt.Errorf("jwt: Config.From is %q; it must be %q or %q", c.From, FromPassword, FromUserName)
	}
	if c.Source.Login != "" && c.Source.Login != source.ByUserName {
		return c, nil, errors.New("jwt: Config.Source.Login has no meaning here; leave it empty")
	}
	if c.JWKS != "" {
		u, err := url.Parse(c.JWKS)
		if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			return c, nil, errors.New("jwt: Config.JWKS must be https://host/path")
		}
	}
	if len(keys) == 0 && c.JWKS == "" {
		return c, nil, errors.New("jwt: neither Config.Keys nor Config.JWKS is set")
	}
	return c.withAlgorithms(keys)
}

func (c Config) keys() ([]verifier, error) {
	var keys []verifier
	for i, k := range c.Keys {
		var key any = k.Public
		if (k.Secret == nil) == (k.Public == nil) {
			return nil, fmt.Errorf("jwt: Config.Keys[%d]: set one of Secret and Public", i)
		}
		if k.Secret != nil {
			key = slices.Clone(k.Secret)
		}
		kind, err := typeOf(key)
		if err != nil || algorithms[kind] == nil {
			return nil, fmt.Errorf("jwt: Config.Keys[%d]: %s %w", i, kind, err)
		}
		keys = append(keys, verifier{id: k.ID, kind: kind, key: key})
	}
	return keys, nil
}

// withAlgorithms fills in, or checks, the algorithms.
func (c Config) withAlgorithms(keys []verifier) (Config, []verifier, error) {
	var possible []string
	for kind, list := range algorithms {
		has := slices.ContainsFunc(keys, func(v verifier) bool { return v.kind == kind })
		if has || c.JWKS != "" && kind != "HMAC" {
			possible = append(possible, list...)
		}
	}
	slices.Sort(possible)
	if len(c.Algorithms) == 0 {
		c.Algorithms = possible
	}
	for _, a := range c.Algorithms {
		if !slices.Contains(possible, a) {
			return c, nil, fmt.Errorf("jwt: Config.Algorithms has %q, for which there is no key; there are %v", a, possible)
		}
	}
	return c, keys, nil
}

// ParsePublicKey reads a public key or a certificate in PEM, for Key.Public.
func ParsePublicKey(data []byte) (crypto.PublicKey, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, errors.New("jwt: the key is not in PEM")
	}
	var key crypto.PublicKey
	var err error
	switch block.Type {
	case "PUBLIC KEY":
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		key, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		var c *x509.Certificate
		if c, err = x509.ParseCertificate(block.Bytes); err == nil {
			key = c.PublicKey
		}
	default:
		err = fmt.Errorf("the PEM is a %s; it must be a PUBLIC KEY or a CERTIFICATE", block.Type)
	}
	if err == nil {
		_, err = typeOf(key)
	}
	if err != nil {
		return nil, fmt.Errorf("jwt: %w", err)
	}
	return key, nil
}
