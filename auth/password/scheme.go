package password

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"slices"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/crypto/scrypt"
)

// Scheme is a way to hash passwords.
type Scheme string

// The schemes that Make knows. All of them use a new random salt for each hash.
const (
	// Argon2id is the default: 19 MiB, two passes, one lane.
	Argon2id Scheme = "argon2id"
	// Bcrypt takes passwords of at most 72 bytes. Cost 10.
	Bcrypt Scheme = "bcrypt"
	// Scrypt uses N=2^15, r=8, p=1: 32 MiB.
	Scrypt Scheme = "scrypt"
	// PBKDF2SHA256 uses 600,000 iterations.
	PBKDF2SHA256 Scheme = "pbkdf2-sha256"
	// PBKDF2SHA512 uses 210,000 iterations.
	PBKDF2SHA512 Scheme = "pbkdf2-sha512"
	// Mosquitto is the form of mosquitto_passwd, "$7$", with 10,000 iterations, for password files
	// that mosquitto must read, too.
	Mosquitto Scheme = "mosquitto"
)

// Schemes returns the schemes that Make knows, the default first.
func Schemes() []Scheme {
	return []Scheme{Argon2id, Bcrypt, Scrypt, PBKDF2SHA256, PBKDF2SHA512, Mosquitto}
}

const (
	saltSize        = 16
	argonMemory     = 19 * 1024 // KiB
	argonTime       = 2
	bcryptCost      = 10
	bcryptLongest   = 72
	scryptLn        = 15
	scryptR         = 8
	sha256Rounds    = 600_000
	sha512Rounds    = 210_000
	mosquittoRounds = 10_000
)

// Make returns a hash of password that Parse reads. The empty Scheme means Argon2id. An empty
// password is refused.
func Make(s Scheme, password []byte) (string, error) {
	if len(password) == 0 {
		return "", errors.New("password: an empty password is no password")
	}
	salt := make([]byte, saltSize)
	_, _ = rand.Read(salt) // never fails
	switch s {
	case Argon2id, "":
		key := argon2.IDKey(password, salt, argonTime, argonMemory, 1, sha256.Size)
		return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=1$%s$%s", argon2.Version, argonMemory, argonTime,
			raw64(salt), raw64(key)), nil
	case Bcrypt:
		if len(password) > bcryptLongest {
			return "", fmt.Errorf("password: %d bytes; bcrypt takes at most %d, argon2id any number",
				len(password), bcryptLongest)
		}
		h, err := bcrypt.GenerateFromPassword(password, bcryptCost)
		return string(h), err
	case Scrypt:
		key, err := scrypt.Key(password, salt, 1<<scryptLn, scryptR, 1, sha256.Size)
		return fmt.Sprintf("$scrypt$ln=%d,r=%d,p=1$%s$%s", scryptLn, scryptR, raw64(salt), raw64(key)), err
	case PBKDF2SHA256:
		return makePBKDF2(s, sha256.New, password, salt, sha256Rounds, sha256.Size)
	case PBKDF2SHA512:
		return makePBKDF2(s, sha512.New, password, salt, sha512Rounds, sha512.Size)
	case Mosquitto:
		key, err := pbkdf2.Key(sha512.New, string(password), salt, mosquittoRounds, sha512.Size)
		return fmt.Sprintf("$7$%d$%s$%s", mosquittoRounds, base64.StdEncoding.EncodeToString(salt),
			base64.StdEncoding.EncodeToString(key)), err
	}
	return "", fmt.Errorf("password: unknown scheme %q; there are %v", s, Schemes())
}

func makePBKDF2(
	s Scheme, digest func() hash.Hash, password, salt []byte, rounds, size int,
) (string, error) {
	key, err := pbkdf2.Key(digest, string(password), salt, rounds, size)
	return fmt.Sprintf("$%s$i=%d$%s$%s", s, rounds, raw64(salt), raw64(key)), err
}

func raw64(b []byte) string { return base64.RawStdEncoding.EncodeToString(b) }

// ParseScheme returns the Scheme of a name, for flags and configuration files.
func ParseScheme(name string) (Scheme, error) {
	if name == "" {
		return Argon2id, nil
	}
	if s := Scheme(name); slices.Contains(Schemes(), s) {
		return s, nil
	}
	return "", fmt.Errorf("password: unknown scheme %q; there are %v", name, Schemes())
}
