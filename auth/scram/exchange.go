package scram

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/packets"
)

// exchange is one authentication: a client-first-message is answered with a salt, a client-final-message with the server's signature.
type exchange struct {
	a       *Authenticator
	already *shoal.Principal // in a re-authentication

	// After the first message.
	first       *clientFirst
	serverFirst string
	nonce       string
	userName    string
	keys        Keys
	known       bool
}

// Step implements shoal.AuthenticationExchange.
func (x *exchange) Step(ctx context.Context, data []byte) (shoal.AuthenticationStep, error) {
	if x.first != nil {
		return x.final(data)
	}
	if len(data) == 0 {
		return shoal.AuthenticationStep{}, nil // the client's first message comes in an AUTH of its own
	}
	return x.begin(ctx, data)
}

func fault(message string, err error) error {
	return &shoal.Error{ReasonCode: packets.NotAuthorized, Reason: fmt.Sprintf("%s: the %s %v", Method, message, err)}
}

func (x *exchange) begin(ctx context.Context, data []byte) (step shoal.AuthenticationStep, err error) {
	m, err := parseClientFirst(data)
	if err != nil {
		return step, fault("client-first-message", err)
	}
	name, err := prepare(m.userName)
	if err != nil {
		return step, fault("user name", err)
	}
	if m.authzID != "" && m.authzID != m.userName {
		return step, &shoal.Error{ReasonCode: packets.NotAuthorized, Reason: "the authorisation identity must be the user's own name, or empty"}
	}
	if x.already != nil && x.already.Name != name {
		return step, &shoal.Error{ReasonCode: packets.NotAuthorized, Reason: "a re-authentication must be of the same user"}
	}
	if x.keys, x.known, err = x.a.keys(ctx, name); err != nil {
		return step, err
	}
	x.first, x.userName = &m, name
	x.nonce = m.nonce + x.a.nonce()
	x.serverFirst = fmt.Sprintf("r=%s,s=%s,i=%d", x.nonce, base64.StdEncoding.EncodeToString(x.keys.Salt), x.keys.Iterations)
	return shoal.AuthenticationStep{Data: []byte(x.serverFirst)}, nil
}

func (x *exchange) final(data []byte) (step shoal.AuthenticationStep, err error) {
	m, err := parseClientFinal(data)
	switch {
	case err != nil:
		return step, fault("client-final-message", err)
	case !bytes.Equal(m.binding, []byte(x.first.header)):
		return step, fault("channel binding", errors.New("is not the GS2 header of the first message"))
	case m.nonce != x.nonce:
		return step, fault("nonce", errors.New("is not the server's"))
	}
	message := x.first.bare + "," + x.serverFirst + "," + m.withoutProof
	clientKey := mac(x.keys.StoredKey[:], message)
	subtle.XORBytes(clientKey, clientKey, m.proof[:])
	stored := sha256.Sum256(clientKey)
	if subtle.ConstantTimeCompare(stored[:], x.keys.StoredKey[:]) != 1 || !x.known {
		return step, errUnknown
	}
	return shoal.AuthenticationStep{
		Data:      []byte("v=" + base64.StdEncoding.EncodeToString(mac(x.keys.ServerKey[:], message))),
		Done:      true,
		Principal: &shoal.Principal{Name: x.userName},
	}, nil
}
