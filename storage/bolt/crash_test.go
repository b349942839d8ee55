package bolt_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/storage/bolt"
	"github.com/shoalmq/shoal/storage/storagetest"
)

func TestKilledProcessLosesNothing(t *testing.T) {
	storagetest.Crash(t, func(dir string) shoal.Storage { return bolt.Open(filepath.Join(dir, "mqtt.db")) })
}

func TestFullDisk(t *testing.T) {
	storagetest.FullDisk(t, 64, func(dir string) shoal.Storage { return bolt.Open(filepath.Join(dir, "mqtt.db")) })
}

// values counts the values of a Space.
func values(t *testing.T, s *bolt.Store, space string) map[string]int {
	t.Helper()
	counts := map[string]int{}
	require.NoError(t, s.Scan(t.Context(), space, nil, func(_, value []byte) error {
		counts[string(value)]++
		return nil
	}))
	return counts
}
