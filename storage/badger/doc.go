// Package badger is a shoal.Storage in one local directory, written with github.com/dgraph-io/badger/v4.
//
//	b, err := shoal.New(shoal.WithStorage(badger.Open("data/mqtt")), …)
//
// Compared with storage/bolt, in one file, a Commit costs less when many sessions change at once and the store is
// large, and space of what was deleted goes back to the disk: badger writes its changes one behind another and merges
// them in the background. A goroutine of the Store rewrites value logs of which half is garbage.
//
// A Commit is durable when it returns, and atomic over all its Spaces. One that is too large for a transaction of
// badger, some megabytes or 50,000 operations, is written to a journal first; see journal.go. The directory is locked
// while it is open: it belongs to one process. Spaces and keys may be of any length; see layout.go.
//
// Memory is bounded by some 200 MiB, whatever the store holds.
//
// # Damage
//
// Open reads all tables and compares their checksums, and it knows how many Commits had returned; see commits.go. A
// directory with damaged, cut off or missing files is reported by an error that matches ErrDamaged, and not opened. After a
// crash of the machine itself, in place of the process, the number of Commits may be up to half a minute old.
// WithAcceptLoss opens what is left, where that can be read.
//
// # Full disks
//
// badger writes through mappings of its files, for which a full disk is the end of the process. A Store therefore refuses to
// Commit when less than a reserve is free, 256 MiB unless WithReserve says something else, with an error that
// matches ErrDiskFull, and works again when there is space. Others who fill the same disk within a moment can still end the process;
// no Commit that returned is lost by that.
package badger
