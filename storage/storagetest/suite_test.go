package storagetest_test

import (
	"testing"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/storage/memory"
	"github.com/shoalmq/shoal/storage/storagetest"
)

// A Storage that does not persist is not asked to.
func TestRunWithoutPersistent(t *testing.T) {
	storagetest.Run(t, func(*testing.T, string) shoal.Storage { return memory.New() })
}
