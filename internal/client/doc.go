// Package client is the client's side of MQTT, for a bridge to another broker. Its state is that of package session, which is the same on
// both sides: messages to the broker stand in its queue, with packet identifiers that last over connections, and identifiers of what comes from there are
// in its set. A Client outlives its connections, one at a time, which its caller makes.
package client
