package bolt_test

import (
	"path/filepath"
	"testing"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/storage/bolt"
	"github.com/shoalmq/shoal/storage/storagetest"
)

func TestContract(t *testing.T) {
	storagetest.Run(t, func(_ *testing.T, dir string) shoal.Storage {
		return bolt.Open(filepath.Join(dir, "new", "mqtt.db"), bolt.WithNoSync())
	}, storagetest.Persistent())
}
