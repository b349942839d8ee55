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

// indexModel is an Index as a map of maps.
type indexModel map[string]map[int]bool

func (m indexModel) matches(name string) []int {
	out := []int{}
	for filter, values := range m {
		if naiveMatch(filter, name) {
			out = slices.AppendSeq(out, maps.Keys(values))
		}
	}
	slices.Sort(out)
	return out
}

func (m indexModel) len() (n int) {
	for _, values := range m {
		n += len(values)
	}
	return n
}

func TestIndexAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var x topics.Index[int] // the zero value is ready
		model := indexModel{}
		value := rapid.IntRange(0, 40) // enough for a set to grow a table and lose it
		var known []string
		// A known filter more often than not, or removals would find nothing.
		filter := func() string {
			if len(known) > 0 && rapid.IntRange(0, 3).Draw(t, "known") > 0 {
				return rapid.SampledFrom(known).Draw(t, "filter")
			}
			if rapid.Bool().Draw(t, "exact") {
				return drawName(t)
			}
			return drawFilter(t)
		}
		t.Repeat(map[string]func(*rapid.T){
			"add": func(*rapid.T) {
				f, v, before := filter(), value.Draw(t, "v"), x.Version()
				known = append(known, f)
				_, had := model[f]
				changed := !model[f][v]
				if !had {
					model[f] = map[int]bool{}
				}
				model[f][v] = true
				require.Equal(t, !had, x.Add(f, v))
				require.Equal(t, changed, x.Version() != before, "Version")
			},
			"add many": func(*rapid.T) {
				f := filter()
				known = append(known, f)
				for v := range 40 {
					_, had := model[f]
					if !had {
						model[f] = map[int]bool{}
					}
					model[f][v] = true
					require.Equal(t, !had, x.Add(f, v))
				}
			},
			"remove": func(*rapid.T) {
				f, v, before := filter(), value.Draw(t, "v"), x.Version()
				found := model[f][v]
				delete(model[f], v)
				wantLast := found && len(model[f]) == 0
				if wantLast {
					delete(model, f)
				}
				last, ok := x.Remove(f, v)
				require.Equal(t, found, ok)
				require.Equal(t, wantLast, last)
				require.Equal(t, found, x.Version() != before, "Version")
			},
			"remove all of one": func(*rapid.T) {
				f := filter()
				values := slices.Sorted(maps.Keys(model[f]))
				for i, v := range values {
					last, ok := x.Remove(f, v)
					require.True(t, ok)
					require.Equal(t, i == len(values)-1, last)
				}
				delete(model, f)
			},
			"replace": func(*rapid.T) {
				f, old, now, before := filter(), value.Draw(t, "old"), value.Draw(t, "new"), x.Version()
				found := model[f][old]
				if found {
					delete(model[f], old)
					model[f][now] = true
				}
				require.Equal(t, found, x.Replace(f, old, now))
				require.Equal(t, found && old != now, x.Version() != before, "Version")
			},
			"": func(*rapid.T) {
				name := drawName(t)
				got := x.AppendMatches([]int{}, name)
				slices.Sort(got)
				require.Equal(t, model.matches(name), got, name)
				require.Equal(t, len(model), x.Filters())
				require.Equal(t, model.len(), x.Len())
				all := indexModel{}
				for f, v := range x.All {
					if all[f] == nil {
						all[f] = map[int]bool{}
					}
					require.False(t, all[f][v], "passed twice")
					all[f][v] = true
				}
				require.Equal(t, model, all)
				topics.CheckIndex(t, &x)
			},
		})
	})
}

func TestIndexAppendsBehindWhatIsThere(t *testing.T) {
	x := topics.NewIndex[int]()
	x.Add("a", 1)
	x.Add("+", 1) // under two filters: twice
	require.Equal(t, []int{7, 1, 1}, x.AppendMatches([]int{7}, "a"))
	require.Nil(t, x.AppendMatches(nil, "b/c"))
}

// A buffer that names and filters were read from is used again.
func TestIndexKeepsNoCallersBytes(t *testing.T) {
	x := topics.NewIndex[int]()
	buf := []byte("a/b|a/+|a/c|a/#|n/1")
	alias := topics.Alias(buf)
	for _, f := range strings.Split(alias, "|") {
		x.Add(f, 1)
		x.Add(f, 2) // an existing key must not be replaced by the caller's either
		x.Replace(f, 1, 3)
	}
	for i := range 20 { // split and join labels
		x.Add(fmt.Sprintf("a/+/%d", i), 1)
	}
	require.Len(t, x.AppendMatches(nil, alias[:3]), 6)
	for i := range buf {
		buf[i] = 'z'
	}
	filters := map[string]bool{}
	for f := range x.All {
		filters[f] = true
	}
	for _, f := range []string{"a/b", "a/+", "a/c", "a/#", "n/1"} {
		require.Contains(t, filters, f)
		_, found := x.Remove(f, 2)
		require.True(t, found, f)
	}
	require.Equal(t, []int{3}, x.AppendMatches(nil, "n/1"))
}

func TestIndexMatchDoesNotAllocate(t *testing.T) {
	x := topics.NewIndex[int]()
	for i := range 1000 {
		for _, f := range []string{"a/%d", "a/%d/#", "+/%d", "a/+/%d", "#"} {
			x.Add(strings.ReplaceAll(f, "%d", fmt.Sprint(i)), i)
		}
	}
	dst := make([]int, 0, 4096)
	require.Zero(t, testing.AllocsPerRun(100, func() { dst = x.AppendMatches(dst[:0], "a/500") }))
	require.Len(t, dst, 1003)
}

func TestIndexLeavesNothingBehind(t *testing.T) {
	x := topics.NewIndex[int]()
	shapes := []string{"d/%d/s", "d/%d/+", "+/%d/#", "d/%d/x/y/+/z", "%d/#", "+/+/+/%d"}
	const n = 5000
	each := func(do func(f string, i int)) {
		for i := range n {
			for _, s := range shapes {
				do(fmt.Sprintf(s, i), i)
			}
		}
	}
	each(func(f string, i int) { x.Add(f, i) })
	require.Equal(t, n*len(shapes), x.Filters())
	topics.CheckIndex(t, x)
	for i := range 100_000 {
		x.Add("d/#", i)
		x.Add("d", i)
	}
	require.Equal(t, n*len(shapes)+2, x.Filters())
	require.Equal(t, n*len(shapes)+200_000, x.Len())
	for i := range 100_000 {
		x.Remove("d/#", i)
		x.Remove("d", i)
	}
	each(func(f string, i int) {
		last, found := x.Remove(f, i)
		if !last || !found {
			t.Fatalf("Remove(%q) = %v, %v", f, last, found)
		}
	})
	require.Zero(t, x.Filters())
	require.Zero(t, x.Len())
	require.True(t, topics.IndexIsBlank(x), "something is left behind")
}

// A short filter must not keep the bytes of a long one that has gone.
func TestIndexLetsGoOfLongFilters(t *testing.T) {
	x := topics.NewIndex[int]()
	long := strings.Repeat("longish-level/", 4000)
	for i := range 50 {
		x.Add(fmt.Sprintf("%d/%s+", i, long), 1)
		x.Add(fmt.Sprintf("%d/+", i), 1) // splits the label
		x.Remove(fmt.Sprintf("%d/%s+", i, long), 1)
	}
	require.Equal(t, 50, x.Filters())
	require.Less(t, topics.IndexLabelBytes(x), 1000)
	require.True(t, topics.KeysShareLabels(x), "a table keeps the bytes of a label that has gone")
	topics.CheckIndex(t, x)
}

// The work of a match is bounded by the filters, not by a power of the levels: these tests do not end otherwise.
func TestIndexDeepNames(t *testing.T) {
	t.Run("slashes", func(t *testing.T) {
		x := topics.NewIndex[int]()
		name := strings.Repeat("/", topics.MaxLength)
		x.Add(name, 1)
		x.Add("#", 2)
		x.Add(name[1:]+"#", 3)
		x.Add(strings.Repeat("+/", 32767)+"#", 4)
		x.Add(strings.Repeat("+/", 32767), 5)
		x.Add(strings.Repeat("/+", 32767), 6)
		got := x.AppendMatches(nil, name)
		slices.Sort(got)
		require.Equal(t, []int{1, 2, 3, 4}, got)
		topics.CheckIndex(t, x)
	})
	t.Run("every mix of plus and literal", func(t *testing.T) {
		x := topics.NewIndex[int]()
		const depth = 12
		for i := range 1 << depth {
			parts := make([]string, depth, depth+1)
			for j := range parts {
				parts[j] = string("a+"[i>>j&1])
			}
			x.Add(strings.Join(append(parts, "#"), "/"), i)
		}
		require.Len(t, x.AppendMatches(nil, strings.Repeat("a/", depth)+strings.Repeat("a/", 20_000)), 1<<depth)
	})
	t.Run("a fork at every level", func(t *testing.T) {
		x := topics.NewIndex[int]()
		const depth = 1000
		for i := range depth {
			x.Add(strings.Repeat("a/", i)+"+", i)
			x.Add(strings.Repeat("+/", i)+"a/+", i)
		}
		require.Len(t, x.AppendMatches(nil, strings.Repeat("a/", depth-1)+"a"), 2)
		require.Less(t, topics.IndexNodes(x), 2*2*depth)
	})
}

func TestIndexToleratesInvalidFilters(t *testing.T) {
	x := topics.NewIndex[int]()
	invalid := []string{"", "a/#/b", "#/b", "#/c", "a+", "a/b#", "+/#/+", "\xff/+", "a\x00/#"}
	for i, f := range invalid {
		require.True(t, x.Add(f, i), f)
		topics.CheckIndex(t, x)
	}
	require.Empty(t, x.AppendMatches(nil, "a/b"))
	for i, f := range invalid {
		last, found := x.Remove(f, i)
		require.True(t, last && found, f)
	}
	require.True(t, topics.IndexIsBlank(x))
}

func TestIndexAllMayChangeTheIndex(t *testing.T) {
	x := topics.NewIndex[int]()
	for i := range 2000 {
		x.Add(fmt.Sprintf("e/%d", i), i)
		x.Add(fmt.Sprintf("w/%d/+", i), i)
	}
	seen := map[string]bool{}
	for f, v := range x.All { // removes filters all over the place, adds others
		seen[f] = true
		x.Remove(fmt.Sprintf("w/%d/+", (v*7919)%2000/2*2), (v*7919)%2000/2*2)
		if !strings.HasPrefix(f, "new/") {
			x.Add("new/"+f, v)
		}
	}
	for i := range 2000 {
		require.True(t, seen[fmt.Sprintf("e/%d", i)], i)
		if i%2 == 1 { // was there all the time
			require.True(t, seen[fmt.Sprintf("w/%d/+", i)], i)
		}
	}
	n := 0
	for range x.All {
		if n++; n == 3 {
			break
		}
	}
	require.Equal(t, 3, n)
}
