package password_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/auth/password"
)

const secret = "päss word"

func TestHashesOfOthersAreRead(t *testing.T) {
	for _, stored := range described {
		h, err := password.Parse(stored)
		require.NoError(t, err, stored)
		require.True(t, h.Verify([]byte(secret)), stored)
		require.False(t, h.Verify([]byte(secret+" ")), stored)
		require.False(t, h.Verify([]byte("Päss word")), stored)
		require.False(t, h.Verify(nil), stored)
		require.Equal(t, h.Scheme() != "mosquitto-sha512", h.Slow())
		require.NotContains(t, fmt.Sprintf("%v %+v %#v %s", h, h, h, h), stored[len(stored)-10:])
	}
}

func TestMake(t *testing.T) {
	for _, s := range append(password.Schemes(), "") {
		stored, err := password.Make(s, []byte(secret))
		require.NoError(t, err)
		again, err := password.Make(s, []byte(secret))
		require.NoError(t, err)
		require.NotEqual(t, stored, again, "%s: no salt", s)
		h, err := password.Parse(stored)
		require.NoError(t, err, stored)
		require.True(t, h.Verify([]byte(secret)), stored)
		require.False(t, h.Verify([]byte("other")), stored)
		named, err := password.ParseScheme(string(s))
		require.NoError(t, err)
		require.True(t, named == s || s == "" && named == password.Argon2id)
	}
	_, err := password.Make(password.Argon2id, nil)
	require.ErrorContains(t, err, "empty")
	_, err = password.Make("rot13", []byte(secret))
	require.ErrorContains(t, err, "argon2id")
	_, err = password.ParseScheme("rot13")
	require.ErrorContains(t, err, "argon2id")
}

// TestKeysOfSCRAM reads the example of RFC 7677, whose password is "pencil".
func TestKeysOfSCRAM(t *testing.T) {
	const stored = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
	h, err := password.Parse(stored)
	require.NoError(t, err)
	require.True(t, h.Verify([]byte("pencil")))
	require.False(t, h.Verify([]byte("pencils")))
	for _, wrong := range []string{
		"SCRAM-SHA-256$", "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$:", "SCRAM-SHA-256$0:W22ZaJ0SNY7soEsUEjb6gQ==$" + key32 + ":x",
		"SCRAM-SHA-256$10000001:W22ZaJ0SNY7soEsUEjb6gQ==$" + key32 + ":x", "SCRAM-SHA-256$4096:$" + key32 + ":x",
		"SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$" + key32 + "AAAA:x", "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$" + key32,
	} {
		_, err := password.Parse(wrong)
		require.ErrorIs(t, err, password.ErrMalformed, wrong)
	}
}

// TestBcryptDoesNotCutPasswords holds that what bcrypt would not look at does not match.
func TestBcryptDoesNotCutPasswords(t *testing.T) {
	long := strings.Repeat("x", 72)
	_, err := password.Make(password.Bcrypt, []byte(long+"y"))
	require.ErrorContains(t, err, "72")
	stored, err := password.Make(password.Bcrypt, []byte(long))
	require.NoError(t, err)
	h, err := password.Parse(stored)
	require.NoError(t, err)
	require.True(t, h.Verify([]byte(long)))
	require.False(t, h.Verify([]byte(long+"y")))
}

const (
	salt16 = "AAAAAAAAAAAAAAAAAAAAAA"
	key32  = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
)

// TestStoredHashesAreBounded holds what a hash that somebody has written cannot ask for.
func TestStoredHashesAreBounded(t *testing.T) {
	tail := "$" + salt16 + "$" + key32
	for _, stored := range []string{
		"$argon2id$v=19$m=67108864,t=1,p=1" + tail, // 64 GiB
		"$argon2id$v=19$m=262145,t=1,p=1" + tail,
		"$argon2id$v=19$m=262144,t=17,p=1" + tail,
		"$argon2id$v=19$m=65536,t=4294967295,p=1" + tail,
		"$argon2id$v=19$m=65536,t=0,p=1" + tail,
		"$argon2id$v=19$m=65536,t=1,p=0" + tail,
		"$argon2id$v=19$m=65536,t=1,p=17" + tail,
		"$argon2id$v=19$m=0,t=1,p=1" + tail,
		"$argon2id$v=19$m=-1,t=1,p=1" + tail,
		"$argon2id$v=16$m=65536,t=1,p=1" + tail,
		"$argon2id$v=19$m=65536,t=1,p=1$" + salt16 + "$", // an empty hash would match everything
		"$argon2id$v=19$m=65536,t=1,p=1$" + salt16 + "$AAAA",
		"$argon2id$v=19$m=65536,t=1,p=1$$" + key32,
		"$argon2id$v=19$t=1,m=65536,p=1" + tail,
		"$argon2id$v=19$m=65536,t=1" + tail,
		"$argon2d$v=19$m=65536,t=1,p=1" + tail,
		"$scrypt$ln=63,r=8,p=1" + tail,
		"$scrypt$ln=19,r=8,p=1" + tail, // 512 MiB
		"$scrypt$ln=0,r=8,p=1" + tail,
		"$scrypt$ln=18,r=8,p=17" + tail,
		"$scrypt$ln=15,r=0,p=1" + tail,
		"$scrypt$ln=1,r=1,p=1$" + salt16 + "$",
		"$pbkdf2-sha512$i=10000001" + tail,
		"$pbkdf2-sha512$i=0" + tail,
		"$pbkdf2-sha512$i=-5" + tail,
		"$pbkdf2-sha512$i=1000$" + salt16 + "$",
		"$7$10000001" + tail,
		"$7$x" + tail,
		"$7$101$" + salt16 + "$",
		"$6$" + salt16 + "$" + key32, // not 64 bytes
		"$6$" + salt16 + "$",
		"$2b$17$sNjSL/Cjmlsts1PP9OhlvuHgtE6eBhJO1F9FZX3V2eCBxQ99ZrA4.",
		"$2b$05$sNjSL/Cjmlsts1PP9OhlvuHgtE6eBhJO1F9FZX3V2eCBxQ99ZrA4",
		"$2x$05$sNjSL/Cjmlsts1PP9OhlvuHgtE6eBhJO1F9FZX3V2eCBxQ99ZrA4.",
		"", "$", "$$", "$$$", "$argon2id", "plain", "$1$abc$def",
		"$pbkdf2-sha512$i=1000$AA\nAA$" + key32,
		"$argon2id$" + strings.Repeat("x", 5000),
	} {
		h, err := password.Parse(stored)
		require.ErrorIs(t, err, password.ErrMalformed, stored)
		require.Nil(t, h)
		require.NotContains(t, err.Error(), key32)
	}
}

func TestFormats(t *testing.T) {
	for a, stored := range digests {
		for i, position := range []password.SaltPosition{password.NoSalt, password.SaltBefore, password.SaltAfter} {
			f := password.Format{Algorithm: a, Salt: position}
			if strings.HasPrefix(string(a), "hmac") {
				require.ErrorContains(t, f.Validate(), "key")
				f.Key = "key"
			}
			for _, s := range []string{stored[i], strings.ToUpper(stored[i])} {
				h, err := f.Parse(s, "salt")
				require.NoError(t, err)
				require.True(t, h.Verify([]byte(secret)), "%s %s", a, position)
				require.False(t, h.Verify([]byte("other")))
				require.False(t, h.Verify(nil))
			}
			if position != password.NoSalt {
				h, err := f.Parse(stored[i], "other")
				require.NoError(t, err)
				require.False(t, h.Verify([]byte(secret)))
				_, err = f.Parse(stored[i], "")
				require.ErrorContains(t, err, "salt is empty")
			}
			for _, s := range []string{"", stored[i][2:], "x" + stored[i][1:]} {
				_, err := f.Parse(s, "salt")
				require.ErrorIs(t, err, password.ErrMalformed)
			}
		}
	}
	h, err := password.Format{Algorithm: password.MD5}.Parse("d41d8cd98f00b204e9800998ecf8427e", "")
	require.NoError(t, err)
	require.False(t, h.Verify(nil), "an empty password is none, even if it was hashed")
	h, err = password.Format{Algorithm: password.Plain}.Parse(secret, "")
	require.NoError(t, err)
	require.True(t, h.Verify([]byte(secret)))
	require.False(t, h.Verify([]byte(secret+"x")))
	for _, f := range []password.Format{
		{Algorithm: "crc32"},
		{Salt: "between", Algorithm: password.MD5},
		{Algorithm: password.Plain, Salt: password.SaltAfter},
		{Salt: password.SaltBefore},
	} {
		require.Error(t, f.Validate())
		_, err := f.Parse("x", "")
		require.Error(t, err)
	}
}

// TestComqttNumbers holds what comqtt's password-hash means.
func TestComqttNumbers(t *testing.T) {
	bcrypt := described[6]
	for n, stored := range map[int]string{
		0: secret, 1: bcrypt, 2: digests[password.MD5][0], 3: digests[password.SHA1][0],
		4: digests[password.SHA256][0], 5: digests[password.SHA512][0], 6: digests[password.HMACSHA1][0],
		7: digests[password.HMACSHA256][0], 8: digests[password.HMACSHA512][0],
	} {
		f, err := password.Comqtt(n, "key")
		require.NoError(t, err)
		h, err := f.Parse(stored, "")
		require.NoError(t, err, n)
		require.True(t, h.Verify([]byte(secret)), n)
		require.False(t, h.Verify([]byte("other")), n)
	}
	for _, n := range []int{-1, 9} {
		_, err := password.Comqtt(n, "key")
		require.ErrorContains(t, err, "from 0 to 8")
	}
	_, err := password.Comqtt(6, "")
	require.ErrorContains(t, err, "key")
}

// TestLimiterBoundsSlowHashes holds that no more than its slots are used, that waiting ends with
// the context, and that quick hashes wait for nobody.
func TestLimiterBoundsSlowHashes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := password.NewLimiter(2)
		gate, running := make(chan struct{}), make(chan struct{}, 10)
		slow := password.NewTestHash(true, func([]byte) bool { running <- struct{}{}; <-gate; return true })
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				ok, err := l.Verify(t.Context(), slow, []byte("x"))
				require.True(t, ok)
				require.NoError(t, err)
			})
		}
		synctest.Wait()
		ctx, cancel := context.WithCancelCause(t.Context())
		gone := errors.New("gone")
		var waited error
		wg.Go(func() { _, waited = l.Verify(ctx, slow, []byte("x")) })
		synctest.Wait()
		require.Len(t, running, 2)
		require.Equal(t, password.LimiterStats{Slots: 2, Busy: 2, Waiting: 1, Verified: 2}, l.Stats())
		ok, err := l.Verify(t.Context(), password.NewTestHash(false, func([]byte) bool { return true }), []byte("x"))
		require.NoError(t, err)
		require.True(t, ok, "a quick hash does not wait")
		cancel(gone)
		synctest.Wait()
		require.ErrorIs(t, waited, gone)
		close(gate)
		wg.Wait()
		require.Equal(t, password.LimiterStats{Slots: 2, Verified: 2, GaveUp: 1}, l.Stats())
		_, err = l.Verify(ctx, slow, []byte("x"))
		require.ErrorIs(t, err, gone, "nothing is computed for who has gone")
	})
	require.Positive(t, password.NewLimiter(0).Stats().Slots)
}

func FuzzParse(f *testing.F) {
	for _, s := range described {
		f.Add(s)
	}
	f.Add("$argon2id$v=19$m=67108864,t=1,p=1$" + salt16 + "$" + key32)
	f.Fuzz(func(t *testing.T, stored string) {
		h, err := password.Parse(stored)
		if (h == nil) != (err != nil) {
			t.Fatal("neither or both")
		}
		if err != nil && !errors.Is(err, password.ErrMalformed) {
			t.Fatal(err)
		}
	})
}

func Example() {
	stored, err := password.Make(password.Argon2id, []byte("lovelace")) // what the user file holds
	if err != nil {
		fmt.Println(err)
		return
	}
	h, err := password.Parse(stored)
	if err != nil {
		fmt.Println(err)
		return
	}
	limiter := password.NewLimiter(0)
	ok, err := limiter.Verify(context.Background(), h, []byte("lovelace"))
	fmt.Println(h, ok, err)
	// Output: a hash by argon2id true <nil>
}

func BenchmarkVerify(b *testing.B) {
	for _, s := range password.Schemes() {
		stored, err := password.Make(s, []byte(secret))
		require.NoError(b, err)
		h, err := password.Parse(stored)
		require.NoError(b, err)
		b.Run(string(s), func(b *testing.B) {
			for b.Loop() {
				if !h.Verify([]byte(secret)) {
					b.Fatal("wrong")
				}
			}
		})
	}
}
