package password

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"
)

// Hash is a stored hash of a password, ready to verify passwords. It is safe for concurrent use.
type Hash struct {
	scheme string
	slow   bool
	verify func(password []byte) bool
}

// Verify reports whether password is the one that was hashed. It may take long, see Slow, and uses
// a processor all the while; a Limiter bounds how many do so at once. An empty password is none.
func (h *Hash) Verify(password []byte) bool { return len(password) > 0 && h.verify(password) }

// Scheme names how the password was hashed, for logs: "argon2id", "sha256" and so on.
func (h *Hash) Scheme() string { return h.scheme }

// Slow reports whether Verify is made to be slow.
func (h *Hash) Slow() bool { return h.slow }

// String returns the scheme; the hash itself is not for logs.
func (h *Hash) String() string { return "a hash by " + h.scheme }

// GoString is String.
func (h *Hash) GoString() string { return h.String() }

// ErrMalformed is what errors about stored hashes wrap.
var ErrMalformed = errors.New("password: malformed hash")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

const (
	longestStored = 4096
	shortestKey   = 16 // of a digest; a shorter one could be guessed, an empty one matches everything
	longestKey    = 512
	longestSalt   = 1024
)

// Parse reads a hash that says how it was made; the package comment lists the forms. Its errors
// wrap ErrMalformed and do not repeat the hash.
func Parse(stored string) (*Hash, error) {
	if len(stored) > longestStored {
		return nil, malformed("it has %d bytes; at most %d are read", len(stored), longestStored)
	}
	if rest, ok := strings.CutPrefix(stored, scramPrefix); ok {
		return parseSCRAM(rest)
	}
	parts := strings.Split(stored, "$")
	if len(parts) < 3 || parts[0] != "" {
		return nil, malformed("it does not begin with $scheme$; for hashes that do not, set a format")
	}
	switch scheme := parts[1]; scheme {
	case "argon2id", "argon2i":
		return parseArgon2(scheme, parts[2:])
	case "2a", "2b", "2y":
		return parseBcrypt(stored)
	case "scrypt":
		return parseScrypt(parts[2:])
	case "pbkdf2", "pbkdf2-sha1", "pbkdf2-sha256", "pbkdf2-sha512":
		return parsePBKDF2(scheme, parts[2:])
	case "7":
		return parseMosquitto(parts[2:])
	case "6":
		return parseMosquittoOld(parts[2:])
	}
	return nil, malformed("its scheme is unknown; argon2id, argon2i, bcrypt, scrypt, pbkdf2 and " +
		"mosquitto's are known")
}

// equal compares in a time that depends on neither.
func equal(a, b []byte) bool { return subtle.ConstantTimeCompare(a, b) == 1 }

// compareKey is for texts of different lengths, which must not be told by the time either.
var compareKey = []byte(rand.Text())

func equalText(a, b []byte) bool {
	digest := func(text []byte) []byte {
		h := hmac.New(sha256.New, compareKey)
		_, _ = h.Write(text) // never fails
		return h.Sum(nil)
	}
	return hmac.Equal(digest(a), digest(b))
}
