// Package storagetest is the contract of shoal.Storage as tests. Every driver passes it; a driver's own test is little
// more than a call of Run.
//
// Beyond what the interface says in words, the suite holds a driver to this:
//
//   - A key may be a little longer than a TopicName can be, and a Space a little longer than a ClientID can be: 65,600 bytes.
//     A value may be 1 MB and more.
//   - A key is any bytes, and a Space any text, one perhaps the beginning of another.
//   - A refused Op is reported by an error that names its Space, and leaves nothing of its Space's operations.
//   - An ended context is reported by its error, which errors.Is finds. Scan looks at it at least every 1,000 entries.
//
// Run is for every driver. One that persists to files is also held to Crash, Damage and FullDisk: a killed process loses nothing that
// Commit returned for, damaged files are reported, and a full disk is an error that goes away with more space.
//
// A driver that is a shoal.FencedStorage, and says that it is shared, is held to that contract, too.
package storagetest
