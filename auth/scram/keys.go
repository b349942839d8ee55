package scram

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/xdg-go/stringprep"
)

const (
	// DefaultIterations is how often a password is hashed unless told otherwise: the least that RFC 7677 allows.
	DefaultIterations = 4096
	// maxIterations is what a client can be asked to do.
	maxIterations = 10_000_000

	saltSize = 16
	maxSalt  = 1024
)

// Keys is what a server keeps of a password. It is enough to verify a client, and not enough to be one.
type Keys struct {
	Salt       []byte
	Iterations int
	StoredKey  [sha256.Size]byte
	ServerKey  [sha256.Size]byte
}

// NewKeys makes the keys of a password with a new salt. iterations 0 means DefaultIterations; more make guessing a password from stolen keys
// more expensive, and connecting, for the client.
func NewKeys(password string, iterations int) (Keys, error) {
	salt := make([]byte, saltSize)
	_, _ = rand.Read(salt) // never fails
	if iterations == 0 {
		iterations = DefaultIterations
	}
	return DeriveKeys(password, salt, iterations)
}

// DeriveKeys makes the keys of a password with a given salt.
func DeriveKeys(password string, salt []byte, iterations int) (Keys, error) {
	k := Keys{Salt: append([]byte(nil), salt...), Iterations: iterations}
	if err := k.check(); err != nil {
		return Keys{}, err
	}
	prepared, err := prepare(password)
	if err != nil {
		return Keys{}, fmt.Errorf("scram: password: %w", err)
	}
	salted, err := pbkdf2.Key(sha256.New, prepared, k.Salt, iterations, sha256.Size)
	if err != nil {
		return Keys{}, fmt.Errorf("scram: hash the password: %w", err)
	}
	k.StoredKey = sha256.Sum256(mac(salted, "Client Key"))
	copy(k.ServerKey[:], mac(salted, "Server Key"))
	return k, nil
}

func (k *Keys) check() error {
	if k.Iterations < DefaultIterations || k.Iterations > maxIterations {
		return fmt.Errorf("scram: %d iterations; from %d to %d are possible", k.Iterations, DefaultIterations, maxIterations)
	}
	if len(k.Salt) == 0 || len(k.Salt) > maxSalt {
		return fmt.Errorf("scram: a salt of %d bytes; from 1 to %d are possible, and 16 usual", len(k.Salt), maxSalt)
	}
	return nil
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	_, _ = h.Write([]byte(text)) // never fails
	return h.Sum(nil)
}

// String returns the keys as PostgreSQL and RFC 5803 write them, for storing: SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey.
func (k Keys) String() string {
	return fmt.Sprintf("%s$%d:%s$%s:%s", Method, k.Iterations, base64.StdEncoding.EncodeToString(k.Salt),
		base64.StdEncoding.EncodeToString(k.StoredKey[:]), base64.StdEncoding.EncodeToString(k.ServerKey[:]))
}

// MarshalText implements encoding.TextMarshaler by String.
func (k Keys) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler; it reads what String writes.
func (k *Keys) UnmarshalText(text []byte) error {
	got, err := ParseKeys(string(text))
	if err == nil {
		*k = got
	}
	return err
}

// ParseKeys reads what String writes. Errors do not repeat the keys.
func ParseKeys(s string) (Keys, error) {
	malformed := func(what string) (Keys, error) {
		return Keys{}, errors.New("scram: keys must be " + Method + "$iterations:salt$StoredKey:ServerKey: " + what)
	}
	rest, ok := strings.CutPrefix(s, Method+"$")
	if !ok {
		return malformed("they do not begin so")
	}
	work, keys, ok := strings.Cut(rest, "$")
	iterations, salt, ok2 := strings.Cut(work, ":")
	stored, server, ok3 := strings.Cut(keys, ":")
	if !ok || !ok2 || !ok3 {
		return malformed("a part is missing")
	}
	var k Keys
	var err error
	if k.Iterations, err = strconv.Atoi(iterations); err != nil {
		return malformed("iterations is not a number")
	}
	if k.Salt, err = decode64(salt); err != nil {
		return malformed("salt is not base64")
	}
	for _, part := range []struct {
		name, text string
		to         []byte
	}{{"StoredKey", stored, k.StoredKey[:]}, {"ServerKey", server, k.ServerKey[:]}} {
		b, err := decode64(part.text)
		if err != nil || len(b) != sha256.Size {
			return malformed(part.name + " is not 32 bytes in base64")
		}
		copy(part.to, b)
	}
	return k, k.check()
}

func decode64(s string) ([]byte, error) {
	if strings.ContainsAny(s, "\r\n") { // which the decoder skips
		return nil, errors.New("line break in base64")
	}
	return base64.StdEncoding.Strict().DecodeString(s)
}

// prepare makes of a user name or password what is compared: SASLprep of it.
func prepare(s string) (string, error) {
	if s == "" {
		return "", errors.New("must not be empty")
	}
	p, err := stringprep.SASLprep.Prepare(s)
	if err != nil {
		return "", errors.New("has a character that SASLprep (RFC 4013) prohibits, or mixes directions of writing")
	}
	if p == "" {
		return "", errors.New("has nothing left after SASLprep (RFC 4013)")
	}
	return p, nil
}
