package password

import (
	"crypto/hmac"
	"crypto/md5"  // for migration
	"crypto/sha1" // for migration
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
)

// Algorithm is how passwords are stored that do not say it themselves.
type Algorithm string

// The algorithms of a Format. All but Described and BcryptOnly are for migration: they can be
// tried billions of times a second by whoever has got hold of the stored hashes.
const (
	Described  Algorithm = "" // each stored hash says how it was made; see Parse
	BcryptOnly Algorithm = "bcrypt"
	Plain      Algorithm = "plain"
	MD5        Algorithm = "md5"
	SHA1       Algorithm = "sha1"
	SHA256     Algorithm = "sha256"
	SHA512     Algorithm = "sha512"
	HMACSHA1   Algorithm = "hmac-sha1"
	HMACSHA256 Algorithm = "hmac-sha256"
	HMACSHA512 Algorithm = "hmac-sha512"
)

// SaltPosition is where the salt is hashed, for the digests and HMACs of a Format.
type SaltPosition string

// The positions of a salt.
const (
	NoSalt     SaltPosition = ""
	SaltBefore SaltPosition = "before" // salt, then password
	SaltAfter  SaltPosition = "after"  // password, then salt
)

// Format says how a source stores passwords. The zero value reads hashes that say it themselves.
// Digests and HMACs are in hexadecimal.
type Format struct {
	Algorithm Algorithm
	Key       string // of the HMACs; required for them
	Salt      SaltPosition
}

// Comqtt returns the Format of comqtt's password-hash and hash-key: 0 plain, 1 bcrypt, 2 md5,
// 3 sha1, 4 sha256, 5 sha512, 6 to 8 HMACs with sha1, sha256, sha512.
func Comqtt(passwordHash int, hashKey string) (Format, error) {
	algorithms := []Algorithm{
		Plain, BcryptOnly, MD5, SHA1, SHA256, SHA512, HMACSHA1, HMACSHA256, HMACSHA512,
	}
	if passwordHash < 0 || passwordHash >= len(algorithms) {
		return Format{}, fmt.Errorf("password: password-hash is %d; it must be from 0 to %d",
			passwordHash, len(algorithms)-1)
	}
	f := Format{Algorithm: algorithms[passwordHash], Key: hashKey}
	return f, f.Validate()
}

func (f Format) digest() (digest func() hash.Hash, keyed bool) {
	switch f.Algorithm {
	case MD5:
		return md5.New, false
	case SHA1:
		return sha1.New, false
	case SHA256:
		return sha256.New, false
	case SHA512:
		return sha512.New, false
	case HMACSHA1:
		return sha1.New, true
	case HMACSHA256:
		return sha256.New, true
	case HMACSHA512:
		return sha512.New, true
	}
	return nil, false
}

// Validate says what is wrong with f.
func (f Format) Validate() error {
	digest, keyed := f.digest()
	switch {
	case digest == nil && f.Algorithm != Described && f.Algorithm != BcryptOnly && f.Algorithm != Plain:
		return fmt.Errorf("password: unknown algorithm %q", f.Algorithm)
	case keyed && f.Key == "":
		return fmt.Errorf("password: the key of %s is empty; set it", f.Algorithm)
	case f.Salt != NoSalt && f.Salt != SaltBefore && f.Salt != SaltAfter:
		return fmt.Errorf("password: the salt is %q; it must be %q or %q", f.Salt, SaltBefore, SaltAfter)
	case f.Salt != NoSalt && digest == nil:
		return errors.New("password: only digests and HMACs take a salt that is stored beside them")
	}
	return nil
}

// Parse reads a stored hash, and the salt that is stored beside it if the Format has one. Its
// errors do not repeat the hash. An empty one is malformed.
func (f Format) Parse(stored, salt string) (*Hash, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	if stored == "" {
		return nil, malformed("it is empty")
	}
	switch f.Algorithm {
	case Described:
		return Parse(stored)
	case BcryptOnly:
		if len(stored) > longestStored {
			return nil, malformed("bcrypt: it is too long")
		}
		return parseBcrypt(stored)
	case Plain:
		want := []byte(stored)
		return &Hash{scheme: "plain", verify: func(p []byte) bool { return equalText(p, want) }}, nil
	}
	return f.parseDigest(stored, salt)
}

func (f Format) parseDigest(stored, salt string) (*Hash, error) {
	digest, keyed := f.digest()
	newHash := digest
	if keyed {
		newHash = func() hash.Hash { return hmac.New(digest, []byte(f.Key)) }
	}
	want, err := hex.DecodeString(stored)
	if size := digest().Size(); err != nil || len(want) != size {
		return nil, malformed("%s: it is not %d bytes in hexadecimal", f.Algorithm, size)
	}
	if f.Salt != NoSalt && salt == "" {
		return nil, malformed("%s: its salt is empty", f.Algorithm)
	}
	return &Hash{scheme: string(f.Algorithm), verify: func(password []byte) bool {
		h := newHash()
		if f.Salt == SaltBefore {
			_, _ = h.Write([]byte(salt)) // never fails, nor do the others
		}
		_, _ = h.Write(password)
		if f.Salt == SaltAfter {
			_, _ = h.Write([]byte(salt))
		}
		return equal(h.Sum(nil), want)
	}}, nil
}
