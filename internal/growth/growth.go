// Package growth holds code to its cost: what is done for each of n things must cost about as much each, whether there are
// few of them or a hundred times as many. It is for tests and benchmarks.
package growth

import (
	"fmt"
	"runtime"
	"testing"
	"time"
)

// Factor is how much more each of a hundred times as many things may cost. Caches and the garbage collector take their
// part of it; what searches all things for each of them comes to about 100.
const Factor = 8

// Sizes are how many times the smallest number of things there are.
var Sizes = [...]int{1, 10, 100}

// Work prepares n things and returns what is to be measured: it deals with each of them once.
type Work func(n int) (run func())

// Linear fails the test if each of 100 × small things costs more than Factor times what each of small ones does. It
// measures several times, and again if another program seems to have had the processor.
func Linear(t testing.TB, small int, work Work) {
	t.Helper()
	var few, many time.Duration
	for range 4 {
		few, many = each(small, work, 7), each(small*100, work, 2)
		if many <= Factor*few {
			return
		}
		if many > 4*Factor*few { // no other program does that
			break
		}
	}
	t.Errorf("each of %d takes %v, and each of %d takes %v, which is more than %d times as much", small*100, many, small, few, Factor)
}

// each returns the shortest time that each of n things took in some tries.
func each(n int, work Work, tries int) time.Duration {
	best := time.Duration(1<<63 - 1)
	for range tries {
		run := work(n)
		runtime.GC()
		began := time.Now()
		run()
		best = min(best, time.Since(began)*1000/time.Duration(n))
	}
	return max(1, best/1000)
}

// Benchmark measures at all Sizes and reports the time that each thing takes.
func Benchmark(b *testing.B, small int, work Work) {
	for _, times := range Sizes {
		n := small * times
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				run := work(n)
				b.StartTimer()
				run()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/each")
		})
	}
}
