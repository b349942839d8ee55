package topics_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/topics"
)

func TestCovers(t *testing.T) {
	for _, tt := range []struct {
		allowed, asked string
		want           bool
	}{
		{"a", "a", true},
		{"a", "b", false},
		{"a/b", "a/b/c", false}, // a prefix grants nothing below it
		{"a/b", "a/b/#", false},
		{"+", "#", false},
		{"+", "a", true},
		{"+", "+", true},
		{"a", "+", false},
		{"a/#", "a", true}, // the parent [MQTT-4.7.1-2]
		{"a/#", "a/#", true},
		{"a/#", "a/+/b/#", true},
		{"a/#", "ab", false},
		{"a/+", "a/#", false},
		{"a/+/#", "a/#", false}, // "a" itself
		{"+/#", "#", true},
		{"#", "+/#", true},
		{"#", "/", true},
		{"#", "$SYS/a", false}, // [MQTT-4.7.2-1]
		{"+/a", "$SYS/a", false},
		{"$SYS/#", "$SYS/+", true},
		{"$SYS/#", "#", false},
		{"a/+", "a/$b", true},
		{"/+", "/", true},
		{"a/b", "a/+", false},
		{"é", "e\u0301", false},
	} {
		require.Equal(t, tt.want, topics.Covers(tt.allowed, tt.asked), "%q covers %q", tt.allowed, tt.asked)
	}
}

func TestOverlap(t *testing.T) {
	for _, tt := range []struct {
		one, other string
		want       bool
	}{
		{"a", "a", true},
		{"a", "b", false},
		{"a/+", "+/b", true},
		{"a/#", "a", true},
		{"a/b/#", "a/+", true},
		{"a/b/#", "a", false},
		{"secret/#", "#", true},
		{"$SYS/#", "#", false}, // [MQTT-4.7.2-1]
		{"$SYS/#", "+/a", false},
		{"$SYS/+", "$SYS/a", true},
		{"a/+/c", "a/b/+", true},
		{"a/+/c", "a/b/d", false},
	} {
		require.Equal(t, tt.want, topics.Overlap(tt.one, tt.other), "%q and %q", tt.one, tt.other)
		require.Equal(t, tt.want, topics.Overlap(tt.other, tt.one), "%q and %q", tt.other, tt.one)
	}
}

// sequences returns all texts of one to depth of these levels.
func sequences(levels []string, depth int) (all []string) {
	last := []string{""}
	for d := range depth {
		var next []string
		for _, head := range last {
			for _, level := range levels {
				if d == 0 {
					next = append(next, level)
				} else {
					next = append(next, head+"/"+level)
				}
			}
		}
		all = append(all, next...)
		last = next
	}
	return all
}

// TestCoversAndOverlapAreWhatMatchSays tries every pair of filters of up to three levels against
// every name of up to four, of levels that no filter has among them: for such filters these names
// tell apart all that any name could.
func TestCoversAndOverlapAreWhatMatchSays(t *testing.T) {
	var filters []string
	for _, f := range sequences([]string{"", "a", "$", "+", "#"}, 3) {
		if topics.ValidateFilter(f) == nil {
			filters = append(filters, f)
		}
	}
	var names []string
	for _, n := range sequences([]string{"", "a", "$", "other"}, 4) {
		if topics.ValidateName(n) == nil {
			names = append(names, n)
		}
	}
	require.Greater(t, len(filters), 80)
	matched := make(map[string][]bool)
	for _, f := range filters {
		for _, n := range names {
			m := topics.Match(f, n)
			matched[f] = append(matched[f], m)
			require.Equal(t, m, topics.Covers(f, n), "%q covers the name %q", f, n)
			require.Equal(t, m, topics.Overlap(f, n), "%q overlaps the name %q", f, n)
		}
	}
	for _, allowed := range filters {
		for _, asked := range filters {
			covers, overlap := true, false
			for i, m := range matched[asked] {
				covers = covers && (!m || matched[allowed][i])
				overlap = overlap || (m && matched[allowed][i])
			}
			if topics.Covers(allowed, asked) != covers || topics.Overlap(allowed, asked) != overlap {
				t.Fatalf("%q, %q: Covers %v, want %v; Overlap %v, want %v", allowed, asked,
					topics.Covers(allowed, asked), covers, topics.Overlap(allowed, asked), overlap)
			}
		}
	}
}

func TestCoversDoesNotAllocate(t *testing.T) {
	one, other := strings.Repeat("a/", 1000)+"#", strings.Repeat("a/", 1000)+"+"
	require.Zero(t, testing.AllocsPerRun(10, func() {
		topics.Covers(one, other)
		topics.Overlap(one, other)
	}))
}
