package authtest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/auth/source"
)

// BenchmarkLogins measures logins of User with empty and with filled caches.
func BenchmarkLogins(b *testing.B, open func(ttl time.Duration) *source.Authenticator) {
	c := &shoal.Credentials{ClientID: "c-" + User, UserName: User, Password: []byte(Password)}
	each(b, open, func(b *testing.B, a *source.Authenticator) {
		for b.Loop() {
			if _, err := a.Authenticate(b.Context(), c); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkPublishes measures authorisations of User with empty and with filled caches. The broker's
// own cache would be in front of them.
func BenchmarkPublishes(b *testing.B, open func(ttl time.Duration) *source.Authenticator) {
	c := &shoal.Credentials{ClientID: "c-" + User, UserName: User, Password: []byte(Password)}
	each(b, open, func(b *testing.B, a *source.Authenticator) {
		r := &shoal.AccessRequest{
			ClientID: c.ClientID, Principal: Login(b, a, c), Action: shoal.ActionPublish, Topic: "a/ann/x",
		}
		for b.Loop() {
			if err := a.Authorize(b.Context(), r); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func each(b *testing.B, open func(ttl time.Duration) *source.Authenticator, run func(*testing.B, *source.Authenticator)) {
	b.Helper()
	for _, cache := range []struct {
		name string
		ttl  time.Duration
	}{{"cold", -1}, {"cached", time.Hour}} {
		b.Run(cache.name, func(b *testing.B) {
			a := open(cache.ttl)
			defer func() { require.NoError(b, a.Close()) }()
			run(b, a)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
		})
	}
}
