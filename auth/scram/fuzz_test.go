package scram

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/packets"
)

// FuzzExchange sends two messages. Whatever they are, the answer is an error with a reason code, or a challenge that carries
// the client's nonce; and nobody gets in, since the server's nonce cannot be known.
func FuzzExchange(f *testing.F) {
	a := newAuthenticator(f, Config{Users: Map{"user": rfcKeys(f)}})
	f.Add([]byte("n,,n=user,r=rOprNGfwEbeRWgbNEkqO"), []byte("c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="))
	f.Add([]byte("y,a=a=2Cb,n=a=2Cb,r=x,e=xt"), []byte("c=eSxhPWE9MkNiLA==,r=x,e=xt,p="))
	f.Add([]byte("p=tls-unique,,n=user,r=x"), []byte{})
	f.Add([]byte("n,,n=\u2168,r=x"), []byte("c=,r=,p="))
	f.Fuzz(func(t *testing.T, first, final []byte) {
		x := begin(t, a, new(shoal.Credentials))
		for i, data := range [][]byte{first, final} {
			step, err := x.Step(t.Context(), data)
			if err != nil {
				require.NotEqual(t, packets.Success, shoal.ReasonCodeOf(err, packets.Success))
				return
			}
			require.False(t, step.Done)
			if i == 0 && len(data) > 0 {
				m, err := parseClientFirst(data)
				require.NoError(t, err)
				require.True(t, strings.HasPrefix(string(step.Data), "r="+m.nonce))
				require.Equal(t, string(data), m.header+m.bare)
			}
		}
	})
}

// FuzzParse reads client-final-messages and keys; what is read is what was written.
func FuzzParse(f *testing.F) {
	f.Add("c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
	f.Add(rfcKeys(f).String())
	f.Fuzz(func(t *testing.T, s string) {
		if m, err := parseClientFinal([]byte(s)); err == nil {
			require.True(t, strings.HasPrefix(s, m.withoutProof+",p="))
			require.Contains(t, m.withoutProof, "r="+m.nonce)
		}
		if k, err := ParseKeys(s); err == nil {
			again, err := ParseKeys(k.String())
			require.NoError(t, err)
			require.Equal(t, k, again)
		}
	})
}
