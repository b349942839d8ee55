package raftlog

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// parseBallot reads seats such as "a:fit b:gone c:fit-": the last one has no vote.
func parseBallot(most int, text string) ballot {
	b := ballot{most: most}
	for _, f := range strings.Fields(text) {
		name, how, _ := strings.Cut(f, ":")
		how, spare := strings.CutSuffix(how, "-")
		s := map[string]standing{"fit": fit, "present": present, "gone": gone, "released": released}[how]
		b.seats = append(b.seats, seat{name, !spare, s})
	}
	return b
}

// settle applies steps until there is none, and returns the voters.
func (b ballot) settle(t *testing.T) string {
	t.Helper()
	for range 3 * len(b.seats) {
		c := b.next()
		if c == (change{}) {
			var voters []string
			for _, s := range b.seats {
				if s.voter {
					voters = append(voters, s.name)
				}
			}
			return strings.Join(voters, " ")
		}
		for i := range b.seats {
			if b.seats[i].name == c.name {
				require.NotEqual(t, c.promote, b.seats[i].voter, "a step that changes nothing: %+v of %+v", c, b)
				b.seats[i].voter = c.promote
			}
		}
	}
	require.Fail(t, "it does not settle", "%+v", b)
	return ""
}

func TestBallot(t *testing.T) {
	for _, tt := range []struct {
		what  string
		most  int
		seats string
		want  string
	}{
		{"one alone", 5, "a:fit", "a"},
		{"two", 5, "a:fit b:fit-", "a b"},
		{"three", 5, "a:fit b:fit-  c:fit-", "a b c"},
		{"a fourth is spare", 5, "a:fit b:fit c:fit d:fit-", "a b c"},
		{"five", 5, "a:fit b:fit c:fit d:fit- e:fit-", "a b c d e"},
		{"seven", 5, "a:fit b:fit c:fit d:fit e:fit f:fit- g:fit-", "a b c d e"},
		{"an even number is asked for", 4, "a:fit b:fit- c:fit- d:fit- e:fit-", "a b c"},
		{"two are asked for", 2, "a:fit b:fit- c:fit-", "a b"},
		{"one is asked for", 1, "a:fit b:fit- c:fit-", "a"},
		{"four as an earlier version has made them", 5, "a:fit b:fit c:fit d:fit", "a b c d"},
		{"more than may", 3, "a:fit b:fit c:fit d:fit e:fit", "a b c d e"},
		{"one gone and replaced", 5, "a:gone b:fit c:fit d:fit-", "b c d"},
		{"two gone, one spare", 5, "a:gone b:gone c:fit d:fit e:fit f:fit-", "b c d e f"},
		{"two gone and replaced", 5, "a:gone b:gone c:fit d:fit e:fit f:fit- g:fit-", "c d e f g"},
		{"gone without a spare node", 5, "a:gone b:fit c:fit", "a b c"},
		{"released without a spare node: nothing is won", 5, "a:released b:fit c:fit", "a b c"},
		{"one of five released: nothing is won", 5, "a:released b:fit c:fit d:fit e:fit", "a b c d e"},
		{"two of five released", 5, "a:released b:released c:fit d:fit e:fit", "c d e"},
		{"one of five released, another one gone", 5, "a:released b:gone c:fit d:fit e:fit", "a b c d e"},
		{"one of four released", 5, "a:released b:fit c:fit d:fit", "b c d"},
		{"not below a majority of seven", 7, "a:released b:released c:fit d:fit e:fit", "a b c d e"},
		{"not below a majority: one of two", 5, "a:released b:fit", "a b"},
		{"nobody who is there", 5, "a:present b:fit c:fit d:fit-", "a b c"},
		{"a spare node that is not fit", 5, "a:gone b:fit c:fit d:present-", "a b c"},
		{"back, and another one is gone", 5, "a:fit- b:gone c:fit d:fit", "a c d"},
	} {
		t.Run(tt.what, func(t *testing.T) {
			require.Equal(t, tt.want, parseBallot(tt.most, tt.seats).settle(t))
		})
	}
}

// Whatever happens, each step leaves a majority among those who are fit if there was one, and the steps come to an end.
func TestBallotKeepsAMajority(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		b := ballot{most: 1 + rng.IntN(7)}
		for i := range 1 + rng.IntN(8) {
			b.seats = append(b.seats, seat{fmt.Sprint(i), rng.IntN(2) == 0, standing(rng.IntN(4))})
		}
		if !b.decides() {
			continue
		}
		start := fmt.Sprintf("%+v", b)
		for c := b.next(); c != (change{}); c = b.next() {
			for i := range b.seats {
				if b.seats[i].name == c.name {
					require.NotEqual(t, c.promote, b.seats[i].voter)
					require.Equal(t, b.seats[i].standing == fit, c.promote, start)
					b.seats[i].voter = c.promote
				}
			}
			require.True(t, b.decides(), "%s: no majority after %+v: %+v", start, c, b)
		}
	}
}

// decides reports whether those who are fit are a majority.
func (b ballot) decides() bool {
	voters, fits := 0, 0
	for _, s := range b.seats {
		if s.voter {
			voters++
			if s.standing == fit {
				fits++
			}
		}
	}
	return fits > voters/2
}
