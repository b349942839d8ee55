package memory_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/storage/memory"
	"github.com/shoalmq/shoal/storage/storagetest"
)

var _ interface {
	shoal.Storage
	shoal.Opener
} = (*memory.Store)(nil)

func TestContract(t *testing.T) {
	stores := map[string]*memory.Store{} // what a directory is for other drivers
	storagetest.Run(t, func(_ *testing.T, dir string) shoal.Storage {
		if stores[dir] == nil {
			stores[dir] = memory.New()
		}
		return stores[dir]
	}, storagetest.Persistent())
}

func TestScanFuncMayWrite(t *testing.T) {
	s := memory.New()
	for i := range 10 {
		require.NoError(t, s.Commit(t.Context(), []shoal.Op{{Space: "a", Key: []byte{byte(i + 1)}, Value: []byte{}}}))
	}
	n := 0
	require.NoError(t, s.Scan(t.Context(), "a", nil, func(key, _ []byte) error {
		n++
		return s.Commit(t.Context(), []shoal.Op{{Space: "a", Key: append([]byte{9}, key...), Value: []byte{}}, {Space: "a", Key: key}})
	}))
	require.Equal(t, 10, n)
}

func Example() {
	ctx := context.Background()
	s := memory.New()
	err := s.Commit(ctx, []shoal.Op{
		{Space: "retained", Key: []byte("b"), Value: []byte("2")},
		{Space: "retained", Key: []byte("a"), Value: []byte("1")},
	})
	if err != nil {
		fmt.Println(err)
	}
	err = s.Scan(ctx, "retained", nil, func(key, value []byte) error {
		fmt.Printf("%s = %s\n", key, value)
		return nil
	})
	fmt.Println(err)
	// Output:
	// a = 1
	// b = 2
	// <nil>
}

func BenchmarkCommit(b *testing.B) {
	storagetest.Benchmark(b, func(*testing.B, string) shoal.Storage { return memory.New() })
}
