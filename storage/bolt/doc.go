// Package bolt is a shoal.Storage in one local file, written with go.etcd.io/bbolt.
//
//	b, err := shoal.New(shoal.WithStorage(bolt.Open("data/mqtt.db")), …)
//
// A Commit is one transaction and one fsync of the file, so it is atomic over all its Spaces and durable when it
// returns; many operations in one Commit cost little more than one. The file is locked while it is open: it belongs to
// one process. It grows as needed and does not shrink; the space of deleted entries is used again.
//
// Spaces and keys may be of any length, in particular 65,535 bytes and more, although those of bbolt may not: see layout.go.
//
// The file is mapped into memory and trusted by bbolt, which keeps checksums of its two first pages only. Damage that
// makes bbolt panic or brings keys out of order becomes an error that matches ErrDamaged; after a panic every later call
// returns it. Damage within a key or value is not noticed.
package bolt
