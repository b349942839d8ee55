// Package packets is the wire codec of MQTT 3.1, 3.1.1 and 5.0: bytes to packets and back.
//
// It does no I/O of its own, except for the convenience function [Read], keeps no state between calls and starts no
// goroutine. Values of this package may be used by one goroutine at a time.
//
// # Decoding
//
// [ParseFixedHeader] looks at the first one to five bytes and says how long the packet is. Once the body is there, a
// value of the packet's type decodes it:
//
//	h, err := packets.ParseFixedHeader(buf)
//	if errors.Is(err, packets.ErrIncomplete) { … } // read more
//	p := packets.New(h.Type)
//	err = p.Decode(h, buf[h.Size:h.Size+h.Remaining], packets.V5)
//
// Decoding is strict. Whatever the specification calls malformed or a protocol error is refused, whether a client or
// a server might have sent it; which direction a packet or a property may travel is for the caller to judge, so that
// brokers and clients share one codec. In particular a Subscription Identifier in a PUBLISH from a client
// [MQTT-3.3.4-6], the syntax of Topic Filters, and the rules for an empty Client Identifier are left to the broker.
//
// Every error of Decode and Append is an [*Error]: it names the packet, the field, what is wrong and the clause of the
// specification, and carries the reason code to answer with. After an error the packet's fields mean nothing, except
// for [Connect].ProtocolVersion.
//
// # Ownership
//
// [Publish].Decode copies nothing: its strings and slices point into the body, as those of bufio.Scanner.Bytes point
// into the scanner's buffer, and are valid only until the body is written to again. [Publish.Clone] makes a copy that
// owns its memory. All other packets copy what they decode.
//
// # Encoding
//
// Append writes a packet behind dst. It refuses what Decode would refuse. What a version cannot express is left out
// where that is harmless (properties, the reason codes of acknowledgements) and refused where it would change the
// meaning (an AUTH, the subscription options of MQTT 5).
//
// A [Version] other than [V31], [V311] and [V5] counts as [V311].
package packets
