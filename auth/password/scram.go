package password

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"strconv"
	"strings"
)

const scramPrefix = "SCRAM-SHA-256$"

// parseSCRAM reads what a server keeps for SCRAM-SHA-256 (RFC 5803), so that the same users may present
// their password, too. Passwords are not prepared with SASLprep: ASCII stays as it is.
func parseSCRAM(text string) (*Hash, error) {
	const scheme = "scram-sha-256"
	work, keys, ok := strings.Cut(text, "$")
	rounds, salt, ok2 := strings.Cut(work, ":")
	stored, _, ok3 := strings.Cut(keys, ":")
	if !ok || !ok2 || !ok3 {
		return nil, malformed("%s has the parts iterations:salt$StoredKey:ServerKey", scheme)
	}
	n, err := strconv.Atoi(rounds)
	if err != nil || n < 1 || n > maxIterations {
		return nil, malformed("%s: iterations must be a number from 1 to %d", scheme, maxIterations)
	}
	s, key, err := saltAndKey(scheme, salt, stored)
	if err != nil {
		return nil, err
	}
	if len(key) != sha256.Size {
		return nil, malformed("%s: the StoredKey has %d bytes, not %d", scheme, len(key), sha256.Size)
	}
	return &Hash{scheme: scheme, slow: true, verify: func(password []byte) bool {
		salted, err := pbkdf2.Key(sha256.New, string(password), s, n, sha256.Size)
		if err != nil {
			return false
		}
		h := hmac.New(sha256.New, salted)
		_, _ = h.Write([]byte("Client Key")) // never fails
		got := sha256.Sum256(h.Sum(nil))
		return equal(got[:], key)
	}}, nil
}
