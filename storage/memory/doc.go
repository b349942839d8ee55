// Package memory is a shoal.Storage that keeps its entries in memory: for tests, and as the reference of what a driver does.
//
// Nothing is on a disk, so "durable" means here: for as long as the Store lives. A Store outlives the broker, though:
// one that was closed can be opened again with everything in it, so that a test can restart a broker.
//
// A broker that shall simply not keep anything needs no Storage at all.
package memory
