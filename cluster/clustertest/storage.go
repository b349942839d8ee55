package clustertest

import (
	"context"
	"sync"

	"github.com/shoalmq/shoal"
)

// puller is a storage that can be pulled out.
type puller interface{ pull() }

// disk is a storage that can be pulled out: what is written afterwards is lost, as after kill -9.
type disk struct {
	shoal.Storage
	mu     sync.Mutex
	pulled bool
}

func (d *disk) pull() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pulled = true
}

// Open implements shoal.Opener.
func (d *disk) Open(ctx context.Context) error {
	if o, ok := d.Storage.(shoal.Opener); ok {
		return o.Open(ctx)
	}
	return nil
}

// Commit implements shoal.Storage.
func (d *disk) Commit(ctx context.Context, ops []shoal.Op) error {
	d.mu.Lock()
	pulled := d.pulled
	d.mu.Unlock()
	if pulled {
		return shoal.ErrStorageClosed
	}
	return d.Storage.Commit(ctx, ops)
}
