package topics_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/shoalmq/shoal/topics"
)

// matchNames returns what Match passes, in its order, as name=value.
func matchNames(x *topics.Names[int], filter string) []string {
	out := []string{}
	x.Match(filter, func(name string, v int) bool {
		out = append(out, fmt.Sprintf("%s=%d", name, v))
		return true
	})
	return out
}

func naiveNames(m map[string]int, filter string) []string {
	names := slices.DeleteFunc(slices.Collect(maps.Keys(m)), func(name string) bool { return !naiveMatch(filter, name) })
	slices.SortFunc(names, func(a, b string) int { return slices.Compare(strings.Split(a, "/"), strings.Split(b, "/")) })
	out := []string{}
	for _, name := range names {
		out = append(out, fmt.Sprintf("%s=%d", name, m[name]))
	}
	return out
}

func TestNamesAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var x topics.Names[int] // the zero value is ready
		model := map[string]int{}
		name := func() string {
			if len(model) > 0 && rapid.Bool().Draw(t, "known") {
				return rapid.SampledFrom(slices.Sorted(maps.Keys(model))).Draw(t, "name")
			}
			return drawName(t)
		}
		set := func(n string, v int) {
			want, had := model[n]
			old, replaced := x.Set(n, v)
			require.Equal(t, want, old)
			require.Equal(t, had, replaced)
			model[n] = v
		}
		remove := func(n string) {
			want, had := model[n]
			old, ok := x.Delete(n)
			require.Equal(t, want, old)
			require.Equal(t, had, ok)
			delete(model, n)
		}
		t.Repeat(map[string]func(*rapid.T){
			"set":    func(*rapid.T) { set(name(), rapid.Int().Draw(t, "v")) },
			"delete": func(*rapid.T) { remove(name()) },
			"set many": func(*rapid.T) {
				prefix := drawName(t)
				for i := range rapid.IntRange(1, 80).Draw(t, "n") {
					set(fmt.Sprintf("%s/%d/%s", prefix, i*7919%211, levels[i%len(levels)]), i)
				}
			},
			"delete many": func(*rapid.T) {
				names := slices.Sorted(maps.Keys(model))
				from := rapid.IntRange(0, len(names)).Draw(t, "from")
				to := rapid.IntRange(from, len(names)).Draw(t, "to")
				for _, n := range names[from:to] {
					remove(n)
				}
			},
			"": func(*rapid.T) {
				f := drawFilter(t)
				require.Equal(t, naiveNames(model, f), matchNames(&x, f), f)
				n := name()
				v, ok := x.Get(n)
				want, had := model[n]
				require.Equal(t, want, v)
				require.Equal(t, had, ok)
				require.Equal(t, len(model), x.Len())
				topics.CheckNames(t, &x)
			},
		})
	})
}

func TestNamesMatchSeesOneMoment(t *testing.T) {
	x := topics.NewNames[int]()
	for i := range 5000 {
		x.Set(fmt.Sprintf("a/%d", i), 1)
	}
	before := matchNames(x, "a/+")
	var seen []string
	x.Match("a/+", func(name string, v int) bool { // changes everything under its own feet, and does not deadlock
		seen = append(seen, fmt.Sprintf("%s=%d", name, v))
		i := len(seen)
		x.Set(fmt.Sprintf("a/%d", (i*7919)%5000), 2)
		x.Delete(fmt.Sprintf("a/%d", (i*104729)%5000))
		x.Set(fmt.Sprintf("a/new%d", i), 3)
		x.Get("a/1")
		x.Len()
		if i%1000 == 0 {
			x.Match("#", func(string, int) bool { return false })
		}
		return true
	})
	require.Equal(t, before, seen)
	topics.CheckNames(t, x)
}

func TestNamesMatchStops(t *testing.T) {
	x := topics.NewNames[int]()
	for i := range 100 {
		x.Set(fmt.Sprintf("a/%02d", i), i)
	}
	var got []int
	x.Match("a/#", func(_ string, v int) bool { got = append(got, v); return v < 2 })
	require.Equal(t, []int{0, 1, 2}, got)
}

func TestNamesKeepsNoCallersBytes(t *testing.T) {
	x := topics.NewNames[int]()
	buf := []byte("a/b")
	x.Set(topics.Alias(buf), 1)
	x.Set(topics.Alias(buf), 2)
	var name string
	x.Match(topics.Alias(buf), func(n string, _ int) bool { name = n; return true })
	copy(buf, "zzz")
	require.Equal(t, "a/b", name)
	require.Equal(t, []string{"a/b=2"}, matchNames(x, "#"))
}

func TestNamesLeavesNothingBehind(t *testing.T) {
	x := topics.NewNames[int]()
	for i := range 20_000 {
		x.Set(fmt.Sprintf("a/%d/b", i), i)
	}
	topics.CheckNames(t, x)
	for i := range 20_000 {
		_, ok := x.Delete(fmt.Sprintf("a/%d/b", i*7919%20_000))
		require.True(t, ok)
		if i%5_000 == 0 {
			topics.CheckNames(t, x)
			matchNames(x, "#") // from here on the pages must be copied
		}
	}
	require.True(t, topics.NamesIsBlank(x))
}

func TestNamesDeepNames(t *testing.T) { // does not end if the work were a power of the levels
	x := topics.NewNames[int]()
	for i := range 20 {
		x.Set(strings.Repeat("/", topics.MaxLength-i), i)
		x.Set(strings.Repeat("a/", 32767-i)+"b", i)
	}
	for _, tt := range []struct {
		filter string
		want   int
	}{
		{"#", 40},
		{strings.Repeat("+/", 32767) + "#", 22}, // '#' takes no level as well
		{strings.Repeat("+/", 32767) + "b", 1},
		{strings.Repeat("+/", 32767) + "c", 0},
		{strings.Repeat("+/", 20) + "a/#", 20},
	} {
		if got := len(matchNames(x, tt.filter)); got != tt.want { // require would print all the slashes
			t.Errorf("%.60s...: %d names, want %d", tt.filter, got, tt.want)
		}
	}
}
