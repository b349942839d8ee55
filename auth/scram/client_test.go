package scram

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
)

// client is the client's side of an exchange.
type client struct {
	user, password string
	nonce          string // random, unless given

	firstBare, serverSignature string
}

func (c *client) first() []byte {
	if c.nonce == "" {
		c.nonce = rand.Text()
	}
	c.firstBare = "n=" + strings.NewReplacer("=", "=3D", ",", "=2C").Replace(c.user) + ",r=" + c.nonce
	return []byte("n,," + c.firstBare)
}

// final answers the server's first message.
func (c *client) final(serverFirst []byte) []byte {
	var nonce, salt64 string
	var iterations int
	fields := strings.Split(string(serverFirst), ",")
	nonce, salt64 = fields[0][2:], fields[1][2:]
	if _, err := fmt.Sscanf(fields[2], "i=%d", &iterations); err != nil {
		panic(err)
	}
	salt, err := base64.StdEncoding.DecodeString(salt64)
	if err != nil || !strings.HasPrefix(nonce, c.nonce) || nonce == c.nonce {
		panic("a wrong first message")
	}
	salted, err := pbkdf2.Key(sha256.New, c.password, salt, iterations, sha256.Size)
	if err != nil {
		panic(err)
	}
	sum := func(key []byte, s string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(s))
		return h.Sum(nil)
	}
	clientKey := sum(salted, "Client Key")
	stored := sha256.Sum256(clientKey)
	withoutProof := "c=biws,r=" + nonce
	message := c.firstBare + "," + string(serverFirst) + "," + withoutProof
	proof := sum(stored[:], message)
	for i := range proof {
		proof[i] ^= clientKey[i]
	}
	c.serverSignature = "v=" + base64.StdEncoding.EncodeToString(sum(sum(salted, "Server Key"), message))
	return []byte(withoutProof + ",p=" + base64.StdEncoding.EncodeToString(proof))
}

// satisfied reports whether the server has shown that it knows the user.
func (c *client) satisfied(serverFinal []byte) bool { return string(serverFinal) == c.serverSignature }
