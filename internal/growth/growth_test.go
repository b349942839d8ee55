package growth_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/internal/growth"
)

// failures counts what is reported.
type failures struct {
	testing.TB
	n int
}

func (f *failures) Helper()               {}
func (f *failures) Errorf(string, ...any) { f.n++ }

func TestLinearTellsSearchingFromCounting(t *testing.T) {
	f := &failures{TB: t}
	growth.Linear(f, 500, func(n int) func() {
		return func() {
			seen := make(map[int]int)
			for i := range n {
				seen[i]++
			}
		}
	})
	require.Zero(t, f.n)
	growth.Linear(f, 100, func(n int) func() {
		return func() {
			var seen []int
			for i := range n {
				if !slices.Contains(seen, i) {
					seen = append(seen, i)
				}
			}
		}
	})
	require.Equal(t, 1, f.n)
}
