package storagetest

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/shoalmq/shoal"
)

// model is a Storage as a map of maps.
type model map[string]map[string]string

func (m model) apply(op shoal.Op) {
	switch {
	case op.Key == nil:
		delete(m, op.Space)
	case op.Value == nil:
		delete(m[op.Space], string(op.Key))
	default:
		if m[op.Space] == nil {
			m[op.Space] = map[string]string{}
		}
		m[op.Space][string(op.Key)] = string(op.Value)
	}
}

func (m model) scan(space, from string) []pair {
	pairs := []pair{}
	for _, key := range slices.Sorted(maps.Keys(m[space])) {
		if key >= from {
			pairs = append(pairs, pair{key, m[space][key]})
		}
	}
	return pairs
}

// testModel does random batches and compares with a map after each.
func testModel(t *testing.T, s suite) {
	st := s.new(t)
	ctx := t.Context()
	spaces := []string{"a", "ab", "b/"}
	keys := rapid.OneOf(rapid.StringMatching(`[ab/]{1,3}`), rapid.StringN(1, 3, 8),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 1, 3), func(b []byte) string { return string(b) }))
	op := rapid.Custom(func(t *rapid.T) shoal.Op {
		space := rapid.SampledFrom(spaces).Draw(t, "space")
		switch n := rapid.IntRange(0, 19).Draw(t, "kind"); {
		case n == 0:
			return drop(space)
		case n < 6:
			return del(space, keys.Draw(t, "key"))
		default:
			return put(space, keys.Draw(t, "key"), rapid.StringN(0, 10, 20).Draw(t, "value"))
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		m := model{}
		if err := st.Commit(ctx, []shoal.Op{drop(spaces[0]), drop(spaces[1]), drop(spaces[2])}); err != nil {
			t.Fatalf("Commit: %v", err)
		}
		for _, ops := range rapid.SliceOfN(rapid.SliceOfN(op, 1, 20), 1, 4).Draw(t, "batches") {
			for _, op := range ops {
				m.apply(op)
			}
			if err := st.Commit(ctx, ops); err != nil {
				t.Fatalf("Commit: %v", err)
			}
			from := rapid.OneOf(rapid.Just(""), keys).Draw(t, "from")
			for _, space := range spaces {
				requirePairs(t, m.scan(space, ""), scanCtx(ctx, t, st, space, nil), fmt.Sprintf("%q", space))
				requirePairs(t, m.scan(space, from), scanCtx(ctx, t, st, space, []byte(from)), fmt.Sprintf("%q from %q", space, from))
			}
		}
	})
}
