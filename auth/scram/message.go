package scram

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"strings"
	"unicode/utf8"
)

// clientFirst is a client-first-message (RFC 5802, section 7).
type clientFirst struct {
	header   string // the GS2 header
	bare     string // the rest
	authzID  string
	userName string
	nonce    string
}

var errText = errors.New("is not UTF-8, or has a NUL")

func text(b []byte) (string, error) {
	if !utf8.Valid(b) || bytes.IndexByte(b, 0) >= 0 {
		return "", errText
	}
	return string(b), nil
}

// parseClientFirst reads, for example, "n,,n=user,r=rOprNGfwEbeRWgbNEkqO".
func parseClientFirst(b []byte) (m clientFirst, err error) {
	s, err := text(b)
	if err != nil {
		return m, err
	}
	flag, rest, ok := strings.Cut(s, ",")
	switch {
	case !ok:
		return m, errors.New("has no GS2 header; begin with n,,")
	case strings.HasPrefix(flag, "p="):
		return m, errors.New("demands channel binding, which this server does not offer; begin with n,,")
	case flag != "n" && flag != "y":
		return m, errors.New("has a GS2 header that does not begin with n or y")
	}
	authzID, bare, ok := strings.Cut(rest, ",")
	if !ok {
		return m, errors.New("ends within the GS2 header")
	}
	if authzID != "" {
		name, ok := strings.CutPrefix(authzID, "a=")
		if !ok {
			return m, errors.New("has an authorisation identity without a=")
		}
		if m.authzID, err = unescape(name); err != nil {
			return m, err
		}
	}
	m.header, m.bare = s[:len(s)-len(bare)], bare
	fields := strings.Split(bare, ",")
	name, ok := strings.CutPrefix(fields[0], "n=")
	if !ok || len(fields) < 2 {
		if strings.HasPrefix(fields[0], "m=") {
			return m, errors.New("demands an extension (m=), of which this server knows none")
		}
		return m, errors.New("must have the user name (n=) and the nonce (r=), in this order")
	}
	if m.userName, err = unescape(name); err != nil {
		return m, err
	}
	if m.nonce, ok = strings.CutPrefix(fields[1], "r="); !ok || !validNonce(m.nonce) {
		return m, errors.New("has no valid nonce (r=) behind the user name")
	}
	return m, checkExtensions(fields[2:])
}

// unescape reads a saslname.
func unescape(s string) (string, error) {
	if s == "" {
		return "", errors.New("has an empty name")
	}
	first, rest, escaped := strings.Cut(s, "=")
	var name strings.Builder
	name.WriteString(first)
	for escaped {
		switch {
		case strings.HasPrefix(rest, "2C"):
			name.WriteByte(',')
		case strings.HasPrefix(rest, "3D"):
			name.WriteByte('=')
		default:
			return "", errors.New("has a name with = that is not part of =2C or =3D")
		}
		first, rest, escaped = strings.Cut(rest[2:], "=")
		name.WriteString(first)
	}
	return name.String(), nil
}

// validNonce reports whether s is printable ASCII without a comma.
func validNonce(s string) bool {
	for i := range len(s) {
		if s[i] < 0x21 || s[i] > 0x7E || s[i] == ',' {
			return false
		}
	}
	return s != ""
}

// checkExtensions holds what stands behind the known attributes, and is ignored, to its form.
func checkExtensions(fields []string) error {
	for _, f := range fields {
		if len(f) < 3 || f[1] != '=' || (f[0]|0x20) < 'a' || (f[0]|0x20) > 'z' {
			return errors.New("has an extension that is not a letter, = and a value")
		}
	}
	return nil
}

// clientFinal is a client-final-message.
type clientFinal struct {
	withoutProof string
	binding      []byte // of the channel: the GS2 header
	nonce        string
	proof        [sha256.Size]byte
}

// parseClientFinal reads, for example, "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzb…".
func parseClientFinal(b []byte) (m clientFinal, err error) {
	s, err := text(b)
	if err != nil {
		return m, err
	}
	end := strings.LastIndex(s, ",p=")
	if end < 0 {
		return m, errors.New("does not end with the proof (p=)")
	}
	m.withoutProof = s[:end]
	proof, err := decode64(s[end+len(",p="):])
	if err != nil || len(proof) != sha256.Size {
		return m, errors.New("has a proof (p=) that is not 32 bytes in base64")
	}
	copy(m.proof[:], proof)
	fields := strings.Split(m.withoutProof, ",")
	binding, ok := strings.CutPrefix(fields[0], "c=")
	if !ok || len(fields) < 2 {
		return m, errors.New("must begin with the channel binding (c=) and the nonce (r=), in this order")
	}
	if m.binding, err = decode64(binding); err != nil {
		return m, errors.New("has a channel binding (c=) that is not base64")
	}
	if m.nonce, ok = strings.CutPrefix(fields[1], "r="); !ok {
		return m, errors.New("has no nonce (r=) behind the channel binding")
	}
	return m, checkExtensions(fields[2:])
}
