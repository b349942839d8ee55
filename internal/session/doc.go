// Package session is the protocol core: what the broker must remember of one client, and the rules of MQTT for it.
//
// It does no I/O, starts no goroutine, takes no lock and never asks the time. Packets and the time go in; bytes for
// the connection, verdicts and a log of changes come out. The broker calls every method of one Session under that
// session's lock.
//
// # Towards the client
//
// Messages of QoS 1 and 2 stand in one queue, in the order in which they were accepted. The front part of the queue is in
// flight: it has packet identifiers and waits for acknowledgements. The rest waits for the window, that is for
// the client's Receive Maximum and for room in the outbox. Messages of QoS 0 are encoded at once or dropped.
// After a reconnect everything in flight is sent again, in the original order and with its identifiers [MQTT-4.4.0-1].
//
// # From the client
//
// The identifiers of QoS 2 messages that were received and not yet released are kept in a set of their own. The two
// directions never share identifiers.
//
// # Limits
//
// The queue is bounded in messages and in bytes (Limits). A message that finds it full is dropped, or drops the oldest
// waiting one, as Limits.DropOldest says; messages in flight are never dropped. With Limits.Wait the queue takes up to as much again while the
// client gets on, and Offer tells how long the publisher is to be held back. Each drop is reported to the Log.
package session
