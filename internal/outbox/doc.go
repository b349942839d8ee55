// Package outbox holds the bytes that wait to be written to one connection.
//
// A Buffer borrows its memory from a Pool when the first byte arrives and gives it back when the last one has been
// written, so that an idle connection holds none. Small packets are copied into chunks, one behind the other, so that
// everything that became due at the same time leaves in one system call. Large payloads are not copied: the Buffer
// refers to them, and a payload that goes to a thousand connections is in memory once.
package outbox
