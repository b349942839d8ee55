package topics_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/shoalmq/shoal/topics"
)

// shapes are kinds of filters; %d numbers them. Device i publishes to "site/{i%1000}/device/{i}/state".
var shapes = []struct{ name, filter string }{
	{"exact", "site/%[2]d/device/%[1]d/state"},
	{"plus", "site/%[2]d/device/%[1]d/+"},
	{"leading_plus", "+/%[2]d/device/%[1]d/state"},
	{"hash", "site/%[2]d/device/%[1]d/#"},
}

const million = 1_000_000

func shapeFilter(shape string, i int) string { return fmt.Sprintf(shape, i, i%1000) }

func fillIndex(b *testing.B, only string) *topics.Index[*int] {
	b.Helper()
	x := topics.NewIndex[*int]()
	v := new(int)
	for i := range million {
		for j, s := range shapes {
			if s.name == only || only == "mix" && i%len(shapes) == j {
				x.Add(shapeFilter(s.filter, i), v)
			}
		}
	}
	return x
}

func BenchmarkIndexMatch(b *testing.B) {
	names := make([]string, 4096)
	for i := range names {
		names[i] = shapeFilter(shapes[0].filter, i*239%million)
	}
	for _, kind := range []string{"exact", "plus", "leading_plus", "hash", "mix"} {
		b.Run(kind, func(b *testing.B) {
			before := heap()
			x := fillIndex(b, kind)
			b.ReportMetric(float64(heap()-before)/million, "B/filter")
			var dst []*int
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; b.Loop(); i++ {
				dst = x.AppendMatches(dst[:0], names[i%len(names)])
				if len(dst) != 1 {
					b.Fatal("found", len(dst))
				}
			}
			b.ReportMetric(float64(heap()-before)/million, "B/filter")
			runtime.KeepAlive(x)
		})
	}
}

// heap returns the bytes in use, after two collections so that what finalizers kept is gone too.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func BenchmarkIndexMatchParallel(b *testing.B) {
	x := fillIndex(b, "mix")
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		var dst []*int
		for pb.Next() {
			dst = x.AppendMatches(dst[:0], "site/12/device/1012/state")
		}
	})
}

func BenchmarkIndexMatchManyValues(b *testing.B) {
	x := topics.NewIndex[int]()
	for i := range 100_000 {
		x.Add("a/+", i)
	}
	dst := make([]int, 0, 100_000)
	b.ReportAllocs()
	for b.Loop() {
		dst = x.AppendMatches(dst[:0], "a/b")
	}
}

func BenchmarkIndexAddRemove(b *testing.B) {
	for _, s := range shapes {
		b.Run(s.name, func(b *testing.B) {
			x := fillIndex(b, s.name)
			filter, v := shapeFilter(s.filter, million+7), new(int)
			b.ReportAllocs()
			for b.Loop() {
				x.Add(filter, v)
				x.Remove(filter, v)
			}
		})
	}
	b.Run("one_filter_100000_values", func(b *testing.B) {
		x := topics.NewIndex[int]()
		for i := range 100_000 {
			x.Add("a/+", i)
		}
		b.ReportAllocs()
		for b.Loop() {
			x.Add("a/+", 100_000)
			x.Remove("a/+", 100_000)
		}
	})
}

func BenchmarkNames(b *testing.B) {
	fill := func() *topics.Names[*int] {
		x := topics.NewNames[*int]()
		v := new(int)
		for i := range million {
			x.Set(shapeFilter(shapes[0].filter, i*7919%million), v)
		}
		return x
	}
	before := heap()
	x := fill()
	perName := float64(heap()-before) / million
	v := new(int)
	b.Run("Set", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			x.Set("site/12/device/1012/state", v)
		}
		b.ReportMetric(perName, "B/name")
	})
	b.Run("SetAfterMatch", func(b *testing.B) { // has to copy
		b.ReportAllocs()
		for b.Loop() {
			x.Match("site/12/device/12/+", func(string, *int) bool { return true })
			x.Set("site/12/device/1012/state", v)
		}
	})
	for _, filter := range []string{"site/12/device/1012/state", "site/12/device/+/state", "site/12/#", "+/+/+/1012/state"} {
		b.Run("Match/"+strings.ReplaceAll(filter, "/", "."), func(b *testing.B) {
			n := 0
			b.ReportAllocs()
			for b.Loop() {
				n = 0
				x.Match(filter, func(string, *int) bool { n++; return true })
			}
			b.ReportMetric(float64(n), "names")
		})
	}
	runtime.KeepAlive(x)
}
