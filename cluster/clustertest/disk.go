package clustertest

import (
	"sync"
	"syscall"
	"time"

	"github.com/shoalmq/shoal/cluster/internal/faults"
)

// SlowDisk lets a node's disk take so much longer for everything that is written to it, and for each time that it is waited for; 0 ends that. It is for
// clusters with WithDisk, and concerns raft's log and snapshots. It lasts over a restart.
func (c *Cluster) SlowDisk(i int, delay time.Duration) {
	p := &c.nodes[i].plate
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = delay
	if p.turned != nil {
		close(p.turned)
		p.turned = nil
	}
}

// FullDisk takes the last room from a node's disk, or gives it back. What is written to a full disk fails with ENOSPC when about half of it is written. It
// is for clusters with WithDisk, and concerns what SlowDisk does. A node may be started while its disk is full.
//
// A node whose disk is full is as good as lost, to the others and to its clients, until there is room again; then it comes back by itself.
func (c *Cluster) FullDisk(i int, full bool) {
	p := &c.nodes[i].plate
	p.mu.Lock()
	defer p.mu.Unlock()
	p.full = full
}

// plate is a node's disk, over all its restarts.
type plate struct {
	mu    sync.Mutex
	delay time.Duration
	full  bool
	now   *head // of the process that uses it now
	// turned is closed when delay changes; nil when nobody waits.
	turned chan struct{}
}

// head is how one process uses a plate.
type head struct {
	plate *plate
	gone  chan struct{} // closed when the process was killed
}

var _ faults.Disk = (*head)(nil)

// spin gives the disk to a process that starts.
func (p *plate) spin() faults.Disk {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = &head{p, make(chan struct{})}
	return p.now
}

// pull takes the disk from a process that is killed: nothing more is written.
func (p *plate) pull() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.now.gone)
}

// wait returns how much longer something takes that has begun, and what is closed when that changes.
func (p *plate) wait(began time.Time) (time.Duration, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.turned == nil {
		p.turned = make(chan struct{})
	}
	return p.delay - time.Since(began), p.turned
}

// turn takes its time, and returns whether the disk is full.
func (h *head) turn() (full bool, err error) {
	began := time.Now()
	for wait, turned := h.plate.wait(began); wait > 0; wait, turned = h.plate.wait(began) {
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-turned:
		case <-h.gone:
			return false, syscall.EIO
		}
		t.Stop()
	}
	select {
	case <-h.gone:
		return false, syscall.EIO
	default:
	}
	h.plate.mu.Lock()
	defer h.plate.mu.Unlock()
	return h.plate.full, nil
}

// Write implements faults.Disk.
func (h *head) Write(size int) (room int, err error) {
	full, err := h.turn()
	switch {
	case err != nil:
		return 0, err
	case full:
		return size / 2, syscall.ENOSPC
	}
	return size, nil
}

// Sync implements faults.Disk.
func (h *head) Sync() error {
	_, err := h.turn()
	return err
}
