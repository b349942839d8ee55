// Command auth is a broker with an Authenticator and Authorizer of its own: users have passwords, and each may publish and subscribe
// below a topic that bears the user's name.
//
//	mosquitto_sub -u ada -P lovelace -t 'ada/#'
//	mosquitto_pub -u ada -P lovelace -t ada/hello -m hi
package main

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"log"
	"log/slog"
	"os/signal"
	"strings"
	"syscall"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/packets"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	// Real passwords are stored as hashes of bcrypt, scrypt or argon2, and travel over TLS.
	err := run(ctx, "tcp://127.0.0.1:1883", users{"ada": sha256.Sum256([]byte("lovelace"))})
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, listen string, u users) error {
	b, err := shoal.New(
		shoal.WithListen(listen),
		shoal.WithAuthenticator(u),
		shoal.WithLogger(slog.Default()),
	)
	if err != nil {
		return err
	}
	return b.Run(ctx)
}

// users are the hashes of their passwords, by name. It is an Authenticator and an Authorizer.
type users map[string][sha256.Size]byte

var _ interface {
	shoal.Authenticator
	shoal.Authorizer
} = users{}

// Authenticate implements shoal.Authenticator.
func (u users) Authenticate(_ context.Context, c *shoal.Credentials) (*shoal.Principal, error) {
	want, known := u[c.UserName]
	got := sha256.Sum256(c.Password)
	if subtle.ConstantTimeCompare(got[:], want[:]) != 1 || !known {
		return nil, &shoal.Error{ReasonCode: packets.BadUserNameOrPassword}
	}
	return &shoal.Principal{Name: c.UserName}, nil
}

// Authorize implements shoal.Authorizer.
func (users) Authorize(_ context.Context, r *shoal.AccessRequest) error {
	first, _, _ := strings.Cut(r.Topic, "/")
	if first != r.Principal.Name {
		return errors.New("not a topic of " + r.Principal.Name) // Not authorized (0x87)
	}
	return nil
}
