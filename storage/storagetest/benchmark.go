package storagetest

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
)

// Benchmark measures Commit with 1, 100 and 1,000 operations of 100 bytes on as many sessions' Spaces as a busy broker
// writes to at once, up to a hundred. It reports the time per operation besides that per Commit.
func Benchmark(b *testing.B, open func(b *testing.B, dir string) shoal.Storage) {
	for _, n := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("ops=%d", n), func(b *testing.B) {
			st := open(b, b.TempDir())
			if o, ok := st.(shoal.Opener); ok {
				require.NoError(b, o.Open(b.Context()))
			}
			ops := make([]shoal.Op, n)
			value := make([]byte, 100)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				for j := range ops { // a queue: what was put a thousand rounds ago goes
					ops[j] = put(fmt.Sprint("session/", j%100), fmt.Sprintf("q%08d", (i*n+j)%(1000*n)), "")
					ops[j].Value = value
				}
				if err := st.Commit(b.Context(), ops); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/entry")
			require.NoError(b, st.Close())
		})
	}
}
