package main

import (
	"crypto/sha256"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/packets"
)

func TestAuthenticate(t *testing.T) {
	u := users{"ada": sha256.Sum256([]byte("lovelace"))}
	for _, tc := range []struct {
		user, password string
		ok             bool
	}{
		{"ada", "lovelace", true},
		{"ada", "Lovelace", false},
		{"ada", "", false},
		{"bob", "lovelace", false},
		{"", "", false},
	} {
		p, err := u.Authenticate(t.Context(), &shoal.Credentials{UserName: tc.user, Password: []byte(tc.password)})
		if tc.ok {
			require.NoError(t, err)
			require.Equal(t, tc.user, p.Name)
			continue
		}
		require.Equal(t, packets.BadUserNameOrPassword, shoal.ReasonCodeOf(err, packets.Success))
	}
}

func TestAuthorize(t *testing.T) {
	for topic, ok := range map[string]bool{
		"ada/a": true, "ada/#": true, "ada": true, "adalbert/a": false, "#": false, "+/a": false, "bob/ada": false,
	} {
		err := users{}.Authorize(t.Context(), &shoal.AccessRequest{Principal: &shoal.Principal{Name: "ada"}, Topic: topic})
		require.Equal(t, ok, err == nil, topic)
	}
}
