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
// # Damage
//
// Open reads the whole file and compares sums of its entries and Spaces; see sums.go. A file that is empty, cut off or damaged, or one
// of whose two first pages is, so that the last commit may be missing, is reported by an error that matches ErrDamaged. WithAcceptLoss
// opens what is left, where bbolt can read that. The file is mapped into memory: damage that is done to it later, and makes bbolt
// panic or brings keys out of order, becomes such an error, too; after a panic every later call returns it. bbolt's list of free pages
// has no sum.
package bolt
