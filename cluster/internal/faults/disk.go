// Package faults lets a test stand between a node and what it runs on.
package faults

// Disk is what a disk does besides keeping what it is given. The methods are called, concurrently, by whoever is about to use the disk, and may take their
// time.
type Disk interface {
	// Write is asked before so many bytes are written to a file. It returns how many of them find room, and an error if those are not all.
	Write(size int) (room int, err error)
	// Sync is asked before the disk is waited for.
	Sync() error
}

// OnDisk is an optional interface of a cluster's Network: a node whose disk has faults, for tests. Only this module can name it.
type OnDisk interface{ Disk() Disk }

// DiskOf returns the disk of a node with a Network.
func DiskOf(network any) Disk {
	if n, ok := network.(OnDisk); ok {
		return n.Disk()
	}
	return SoundDisk{}
}

// SoundDisk is a disk without faults.
type SoundDisk struct{}

// Write implements Disk.
func (SoundDisk) Write(size int) (int, error) { return size, nil }

// Sync implements Disk.
func (SoundDisk) Sync() error { return nil }
