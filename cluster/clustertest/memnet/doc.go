// Package memnet is a network in memory, for tests: many hosts, packets and streams between them, and everything that
// goes wrong with a network, on demand. It works inside testing/synctest bubbles: it starts no goroutine, blocks on
// channels only and takes its time from package time.
//
//	net := memnet.New(1)
//	a, b := net.Host("a"), net.Host("b")
//	l, _ := b.Listen(":1883")          // b's address, "10.0.0.2:1883"
//	c, _ := a.Dial(ctx, "b:1883")      // or by number
//	net.Partition([]string{"a"}, []string{"b"})
//	net.Heal()
//
// # What a cut does
//
// A cut link loses packets silently. A stream over it stalls: what is written waits in the sender's buffer (256 KiB,
// then Write blocks), and what is not yet read is not seen. When the link heals within StreamTimeout the stream goes on
// and nothing is lost, as TCP would do. A link that is cut for StreamTimeout resets the streams over it, at both ends.
// Dialling over a cut link waits for its context. Dialling an address nobody listens on is refused at once.
//
// A link that loses a share of what it carries (SetLinkLoss) slows its streams down, in jerks, and loses packets.
//
// # What a kill does
//
// Kill ends a host as SIGKILL ends a process: its listeners and packet connections close, its streams are reset at
// both ends, and the *Host can open nothing any more. The next Network.Host of that name is the restarted process, at
// the same address. To lose the machine rather than the process, Isolate it first.
package memnet
