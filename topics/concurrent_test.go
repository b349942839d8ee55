package topics_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/topics"
)

// While others change the index, what is always there is always found, and Replace shows one of the two.
func TestIndexConcurrentMatch(t *testing.T) {
	x := topics.NewIndex[int]()
	const stays, swaps, comes = 1, 1000, 2000 // swaps: an even and the following odd number change places
	filters := []string{"a/b/c", "a/+/c", "a/#", "+/b/#", "a/b/+", "#"}
	for i, f := range filters {
		x.Add(f, stays)
		x.Add(f, swaps+2*i)
	}
	const rounds = 150
	var writers, readers sync.WaitGroup
	done := make(chan struct{})
	writers.Go(func() {
		for i := range rounds {
			for j, f := range filters {
				even := swaps + 2*j
				if !x.Replace(f, even+i%2, even+1-i%2) {
					t.Errorf("round %d: %s: Replace found nothing", i, f)
				}
			}
		}
	})
	for w := range 2 {
		writers.Go(func() {
			for i := range rounds {
				for _, f := range filters { // a set that grows and shrinks, labels that split and join
					x.Add(f, comes+w*rounds+i)
					x.Add(fmt.Sprintf("%s/%d/+", f[:1], i%20), -1-w)
				}
				for _, f := range filters {
					x.Remove(f, comes+w*rounds+i)
					x.Remove(fmt.Sprintf("%s/%d/+", f[:1], i%20), -1-w)
				}
			}
		})
	}
	for range 2 {
		readers.Go(func() {
			var dst []int
			for {
				select {
				case <-done:
					return
				default:
				}
				dst = x.AppendMatches(dst[:0], "a/b/c")
				found, pairs := 0, make([]int, len(filters))
				for _, v := range dst {
					switch {
					case v == stays:
						found++
					case v >= swaps && v < swaps+2*len(filters):
						pairs[(v-swaps)/2]++
					}
				}
				if found != len(filters) || slices.Min(pairs) != 1 || slices.Max(pairs) != 1 {
					t.Errorf("%d filters found of %d, pairs %v", found, len(filters), pairs)
					return
				}
			}
		})
	}
	readers.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			found := map[string]bool{}
			for f, v := range x.All {
				if v == stays {
					found[f] = true
				}
			}
			if len(found) != len(filters) {
				t.Errorf("All passed %v", found)
				return
			}
		}
	})
	writers.Wait()
	close(done)
	readers.Wait()
	require.Equal(t, len(filters), x.Filters())
	topics.CheckIndex(t, x)
}

// An answer kept under a Version is right as long as the Version is the same.
func TestIndexVersionGuardsCachedMatches(t *testing.T) {
	x := topics.NewIndex[int]()
	filters := []string{"a/b", "a/+", "+/b"}
	// Each writer owns a filter and publishes what it has done before and after, so that a reader can tell what an
	// answer must hold that was right at some moment.
	type cached struct {
		version uint64
		values  []int
	}
	var wg sync.WaitGroup
	for i, f := range filters {
		wg.Go(func() {
			for n := range 3000 {
				before := x.Version()
				x.Add(f, i)
				if x.Version() == before {
					t.Error("Add returned and Version is the same")
				}
				// What this writer did is done: an answer under the present Version must have it.
				c := cached{version: x.Version()}
				c.values = x.AppendMatches(nil, "a/b")
				if x.Version() == c.version && !slices.Contains(c.values, i) {
					t.Errorf("round %d: the answer %v lacks %d", n, c.values, i)
				}
				kept := c
				x.Remove(f, i)
				if x.Version() == kept.version {
					t.Error("Remove returned and the cached answer still counts as right")
				}
			}
		})
	}
	wg.Wait()
	require.Zero(t, x.Len())
}

func TestNamesConcurrentMatch(t *testing.T) {
	x := topics.NewNames[int]()
	// One writer raises two far apart names together, low first: a view of one moment has low equal to high or one more.
	for i := range 500 {
		x.Set(fmt.Sprintf("n/%03d", i), 0)
	}
	var writer, readers sync.WaitGroup
	done := make(chan struct{})
	writer.Go(func() {
		for i := 1; i <= 20_000; i++ {
			x.Set("n/000", i)
			x.Delete(fmt.Sprintf("n/%03d", 100+i%300))
			x.Set(fmt.Sprintf("n/%03d", 100+(i+150)%300), i)
			x.Set("n/499", i)
		}
	})
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				var got []int
				x.Match("n/+", func(name string, v int) bool {
					if name == "n/000" || name == "n/499" {
						got = append(got, v)
					}
					return true
				})
				if len(got) != 2 || got[0]-got[1] < 0 || got[0]-got[1] > 1 {
					t.Errorf("no moment had %v", got)
					return
				}
				x.Get("n/000")
			}
		})
	}
	writer.Wait()
	close(done)
	readers.Wait()
	topics.CheckNames(t, x)
}
