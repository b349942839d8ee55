package topics_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/shoalmq/shoal/topics"
)

func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		filter, name string
		want         bool
	}{
		{"a", "a", true},
		{"a", "b", false},
		{"a", "a/b", false},
		{"a/b", "a", false},
		{"a", "/a", false}, // the slash makes another level
		{"a/", "a", false},
		{"a/", "a/", true},
		{"A", "a", false},       // no normalisation [MQTT-4.7.3-4]
		{"é", "e\u0301", false}, // nor of Unicode
		// [MQTT-4.7.1-1]
		{"sport/tennis/player1/#", "sport/tennis/player1", true},
		{"sport/tennis/player1/#", "sport/tennis/player1/ranking", true},
		{"sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true},
		{"sport/tennis/player1/#", "sport/tennis/player10", false},
		{"sport/#", "sport", true},
		{"sport/#", "sport/", true},
		{"sport/#", "sports", false},
		{"#", "a/b", true},
		{"#", "/", true},
		{"/#", "a", false},
		{"/#", "/a", true},
		{"a/+/#", "a", false},
		{"+/#", "a", true},
		// [MQTT-4.7.1-2]
		{"sport/tennis/+", "sport/tennis/player1", true},
		{"sport/tennis/+", "sport/tennis/player1/ranking", false},
		{"sport/+", "sport", false},
		{"sport/+", "sport/", true},
		{"+", "a", true},
		{"+", "/a", false},
		{"+/+", "/a", true},
		{"/+", "/a", true},
		{"+/b/+", "a/b/c", true},
		// [MQTT-4.7.2-1]
		{"#", "$SYS/a", false},
		{"+/a", "$SYS/a", false},
		{"+", "$SYS", false},
		{"+/#", "$", false},
		{"$SYS/#", "$SYS/a", true},
		{"$SYS/+", "$SYS/a", true},
		{"$SYS/#", "$SYS", true},
		{"a/#", "a/$b", true}, // only a leading one hides
		{"+/+", "a/$b", true},
	} {
		require.Equal(t, tt.want, topics.Match(tt.filter, tt.name), "%s against %s", tt.filter, tt.name)
		require.Equal(t, tt.want, naiveMatch(tt.filter, tt.name), "the model: %s against %s", tt.filter, tt.name)
		x := topics.NewIndex[int]()
		x.Add(tt.filter, 1)
		require.Equal(t, tt.want, len(x.AppendMatches(nil, tt.name)) == 1, "Index: %s against %s", tt.filter, tt.name)
		n := topics.NewNames[int]()
		n.Set(tt.name, 1)
		require.Equal(t, tt.want, len(matchNames(n, tt.filter)) == 1, "Names: %s against %s", tt.filter, tt.name)
	}
}

func TestHasWildcard(t *testing.T) {
	for filter, want := range map[string]bool{"a": false, "$SYS/a": false, "+": true, "a/+/b": true, "a/#": true} {
		require.Equal(t, want, topics.HasWildcard(filter), filter)
	}
}

func TestMatchAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		filter, name := drawFilter(t), drawName(t)
		if got, want := topics.Match(filter, name), naiveMatch(filter, name); got != want {
			t.Fatalf("Match(%q, %q) = %v", filter, name, got)
		}
	})
}

func FuzzMatch(f *testing.F) {
	f.Add("+/a/#", "b/a")
	f.Add("#", "$SYS/a")
	f.Add("$share/g/a/+", "a/")
	f.Fuzz(func(t *testing.T, filter, name string) {
		valid := topics.ValidateFilter(filter) == nil && topics.ValidateName(name) == nil
		if s, ok, err := topics.ParseShare(filter); ok && err == nil {
			filter = s.Filter
		}
		got := topics.Match(filter, name) // must not panic, whatever it is given
		x, n := topics.NewIndex[int](), topics.NewNames[int]()
		x.Add(filter, 1)
		n.Set(name, 1)
		indexed, named := len(x.AppendMatches(nil, name)), len(matchNames(n, filter))
		if !valid {
			return
		}
		if want := naiveMatch(filter, name); got != want || (indexed == 1) != want || (named == 1) != want {
			t.Fatalf("%q against %q: Match %v, Index %d, Names %d, want %v", filter, name, got, indexed, named, want)
		}
	})
}

// naiveMatch is the model: the specification's sentences, one by one.
func naiveMatch(filter, name string) bool {
	if strings.HasPrefix(name, "$") && (strings.HasPrefix(filter, "+") || strings.HasPrefix(filter, "#")) {
		return false
	}
	return naiveLevels(strings.Split(filter, "/"), strings.Split(name, "/"))
}

func naiveLevels(filter, name []string) bool {
	switch {
	case len(filter) == 0:
		return len(name) == 0
	case filter[0] == "#":
		return true
	case len(name) == 0:
		return false
	case filter[0] == "+" || filter[0] == name[0]:
		return naiveLevels(filter[1:], name[1:])
	}
	return false
}

// Few and similar levels, so that names and filters meet; some that sort next to the slash.
var levels = []string{"", "a", "b", "ab", "a!", "a.b", "$", "$s", "longer-than-eight", "longer-than-nine"}

func drawName(t *rapid.T) string {
	return strings.Join(rapid.SliceOfN(rapid.SampledFrom(levels), 1, 5).
		Filter(func(s []string) bool { return len(s) > 1 || s[0] != "" }).Draw(t, "name"), "/")
}

func drawFilter(t *rapid.T) string {
	parts := rapid.SliceOfN(rapid.SampledFrom(append([]string{"+", "+", "+"}, levels...)), 0, 5).Draw(t, "filter")
	if rapid.Bool().Draw(t, "hash") || len(parts) == 0 || len(parts) == 1 && parts[0] == "" {
		parts = append(parts, "#")
	}
	return strings.Join(parts, "/")
}
