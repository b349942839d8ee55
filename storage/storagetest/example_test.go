package storagetest_test

import (
	"path/filepath"
	"testing"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/storage/bolt"
	"github.com/shoalmq/shoal/storage/storagetest"
)

// The test of a driver that keeps its entries in a file of the directory it is given.
func ExampleRun() {
	_ = func(t *testing.T) { // func TestContract(t *testing.T)
		storagetest.Run(t, func(_ *testing.T, dir string) shoal.Storage {
			return bolt.Open(filepath.Join(dir, "mqtt.db"))
		}, storagetest.Persistent())
	}
}
