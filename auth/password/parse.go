package password

import (
	"crypto/pbkdf2"
	"crypto/sha1" // passlib's "pbkdf2" is with SHA-1
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"hash"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/crypto/scrypt"
)

// What a stored hash may ask for at most.
const (
	maxMemory     = 256 << 20 // bytes
	maxPasses     = 4 << 30   // bytes of memory times passes over it
	maxLanes      = 16
	maxIterations = 10_000_000
	maxBcryptCost = 16
)

func parseArgon2(scheme string, parts []string) (*Hash, error) {
	if len(parts) != 4 {
		return nil, malformed("%s has the parts v=19, m=…,t=…,p=…, salt and hash", scheme)
	}
	if parts[0] != "v=19" {
		return nil, malformed("%s: only version 19 is supported", scheme)
	}
	n, err := parameters(scheme, parts[1], "m", "t", "p")
	if err != nil {
		return nil, err
	}
	memory, passes, lanes := n[0], n[1], n[2]
	switch {
	case lanes < 1 || lanes > maxLanes:
		return nil, malformed("%s: p must be from 1 to %d", scheme, maxLanes)
	case memory < 8*lanes || memory > maxMemory/1024:
		return nil, malformed("%s: m must be from 8p to %d KiB", scheme, maxMemory/1024)
	case passes < 1 || passes > maxPasses/1024/memory:
		return nil, malformed("%s: t must be from 1 to %d with this m", scheme, maxPasses/1024/memory)
	}
	salt, key, err := saltAndKey(scheme, parts[2], parts[3])
	if err != nil {
		return nil, err
	}
	derive := argon2.IDKey
	if scheme == "argon2i" {
		derive = argon2.Key
	}
	return &Hash{scheme: scheme, slow: true, verify: func(password []byte) bool {
		// The numbers are bounded above.
		got := derive(password, salt, uint32(passes), uint32(memory), uint8(lanes), uint32(len(key)))
		return equal(got, key)
	}}, nil
}

func parseBcrypt(stored string) (*Hash, error) {
	cost, err := bcrypt.Cost([]byte(stored))
	if err != nil || len(stored) != 60 {
		return nil, malformed("bcrypt: it is not $2b$cost$ and 53 characters")
	}
	if cost > maxBcryptCost {
		return nil, malformed("bcrypt: its cost is %d; at most %d is computed", cost, maxBcryptCost)
	}
	return &Hash{scheme: "bcrypt", slow: true, verify: func(password []byte) bool {
		// bcrypt does not look beyond 72 bytes: longer passwords would match shorter ones.
		return len(password) <= bcryptLongest &&
			bcrypt.CompareHashAndPassword([]byte(stored), password) == nil
	}}, nil
}

func parseScrypt(parts []string) (*Hash, error) {
	if len(parts) != 3 {
		return nil, malformed("scrypt has the parts ln=…,r=…,p=…, salt and hash")
	}
	n, err := parameters("scrypt", parts[0], "ln", "r", "p")
	if err != nil {
		return nil, err
	}
	ln, r, p := n[0], n[1], n[2]
	if ln < 1 || ln > 20 || r < 1 || r > 64 || p < 1 || p > maxLanes || 128*r<<ln > maxMemory ||
		128*r*p<<ln > maxPasses {
		return nil, malformed("scrypt: ln, r and p ask for too much or for nothing; %d MiB is the most",
			maxMemory>>20)
	}
	salt, key, err := saltAndKey("scrypt", parts[1], parts[2])
	if err != nil {
		return nil, err
	}
	return &Hash{scheme: "scrypt", slow: true, verify: func(password []byte) bool {
		got, err := scrypt.Key(password, salt, 1<<ln, r, p, len(key))
		return err == nil && equal(got, key)
	}}, nil
}

func parsePBKDF2(scheme string, parts []string) (*Hash, error) {
	if len(parts) != 3 {
		return nil, malformed("%s has the parts i=…, salt and hash", scheme)
	}
	text, _, _ := strings.Cut(strings.TrimPrefix(parts[0], "i="), ",") // ",l=…" is the length of the key
	digest := sha1.New
	switch scheme {
	case "pbkdf2-sha256":
		digest = sha256.New
	case "pbkdf2-sha512":
		digest = sha512.New
	}
	salt, key, err := saltAndKey(scheme, parts[1], parts[2])
	if err != nil {
		return nil, err
	}
	return newPBKDF2(scheme, digest, text, salt, key)
}

func newPBKDF2(scheme string, digest func() hash.Hash, rounds string, salt, key []byte) (*Hash, error) {
	n, err := strconv.Atoi(rounds)
	if err != nil || n < 1 || n > maxIterations {
		return nil, malformed("%s: iterations must be a number from 1 to %d", scheme, maxIterations)
	}
	return &Hash{scheme: scheme, slow: true, verify: func(password []byte) bool {
		got, err := pbkdf2.Key(digest, string(password), salt, n, len(key))
		return err == nil && equal(got, key)
	}}, nil
}

// parseMosquitto reads what mosquitto_passwd has made since 2.0.
func parseMosquitto(parts []string) (*Hash, error) {
	if len(parts) != 3 {
		return nil, malformed("$7$ has the parts iterations, salt and hash")
	}
	salt, key, err := saltAndKey("$7$", parts[1], parts[2])
	if err != nil {
		return nil, err
	}
	return newPBKDF2("mosquitto", sha512.New, parts[0], salt, key)
}

// parseMosquittoOld reads what mosquitto_passwd made before 2.0: SHA-512 of password and salt. It
// is not the $6$ of crypt(3).
func parseMosquittoOld(parts []string) (*Hash, error) {
	if len(parts) != 2 {
		return nil, malformed("$6$ has the parts salt and hash")
	}
	salt, key, err := saltAndKey("$6$", parts[0], parts[1])
	if err != nil {
		return nil, err
	}
	if len(key) != sha512.Size {
		return nil, malformed("$6$: the hash has %d bytes, not %d", len(key), sha512.Size)
	}
	return &Hash{scheme: "mosquitto-sha512", verify: func(password []byte) bool {
		h := sha512.New()
		_, _ = h.Write(password) // never fails
		_, _ = h.Write(salt)     // never fails
		return equal(h.Sum(nil), key)
	}}, nil
}

// parameters reads "m=1,t=2,p=3" with these names in this order.
func parameters(scheme, text string, names ...string) ([]int, error) {
	parts := strings.Split(text, ",")
	if len(parts) != len(names) {
		return nil, malformed("%s: its parameters must be %s", scheme, strings.Join(names, ", "))
	}
	values := make([]int, len(names))
	for i, name := range names {
		v, ok := strings.CutPrefix(parts[i], name+"=")
		n, err := strconv.ParseUint(v, 10, 31)
		if !ok || err != nil {
			return nil, malformed("%s: its parameter %d must be %s=number", scheme, i+1, name)
		}
		values[i] = int(n)
	}
	return values, nil
}

func saltAndKey(scheme, salt, key string) (s, k []byte, err error) {
	s, ok := decode64(salt)
	if !ok || len(s) == 0 || len(s) > longestSalt {
		return nil, nil, malformed("%s: the salt is not 1 to %d bytes in base64", scheme, longestSalt)
	}
	k, ok = decode64(key)
	if !ok || len(k) < shortestKey || len(k) > longestKey {
		return nil, nil, malformed("%s: the hash is not %d to %d bytes in base64", scheme,
			shortestKey, longestKey)
	}
	return s, k, nil
}

// decode64 reads base64 with or without padding, and with passlib's '.' for '+'.
func decode64(s string) ([]byte, bool) {
	if strings.ContainsAny(s, "\r\n") { // which the decoder skips
		return nil, false
	}
	s = strings.ReplaceAll(strings.TrimRight(s, "="), ".", "+")
	b, err := base64.RawStdEncoding.DecodeString(s)
	return b, err == nil
}
