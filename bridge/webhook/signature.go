package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// What Verify finds.
var (
	ErrNoSignature    = errors.New("webhook: the request has no Shoal-Signature that can be read")
	ErrWrongSignature = errors.New("webhook: the signature is not that of the body")
	ErrOldSignature   = errors.New("webhook: the signature is too old, or from the future")
)

// sign returns the value of Shoal-Signature.
func sign(secret string, at time.Time, body []byte) string {
	seconds := strconv.FormatInt(at.Unix(), 10)
	return "t=" + seconds + ",v1=" + hex.EncodeToString(mac(secret, seconds, body))
}

func mac(secret, seconds string, body []byte) []byte {
	h := hmac.New(sha256.New, []byte(secret))
	_, _ = fmt.Fprintf(h, "%s.%s", seconds, body) // never fails
	return h.Sum(nil)
}

// Verify is for those who receive requests: it reports what is wrong with the signature of one, given the
// body that was read from it. A request whose signature is older than tolerance, or as far in the
// future, is refused, so that nobody sends it again later; five minutes are usual.
func Verify(header http.Header, body []byte, secret string, tolerance time.Duration) error {
	return verify(header.Get(headerSignature), body, secret, tolerance, time.Now())
}

func verify(value string, body []byte, secret string, tolerance time.Duration, now time.Time) error {
	t, v1, ok := strings.Cut(value, ",")
	seconds, isTime := strings.CutPrefix(t, "t=")
	text, isMAC := strings.CutPrefix(v1, "v1=")
	at, err := strconv.ParseInt(seconds, 10, 64)
	if !ok || !isTime || !isMAC || err != nil {
		return ErrNoSignature
	}
	have, err := hex.DecodeString(text)
	if err != nil {
		return ErrNoSignature
	}
	if !hmac.Equal(have, mac(secret, seconds, body)) {
		return ErrWrongSignature
	}
	if age := now.Sub(time.Unix(at, 0)); age > tolerance || -age > tolerance {
		return ErrOldSignature
	}
	return nil
}
