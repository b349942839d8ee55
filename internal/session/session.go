package session

import (
	"time"

	"github.com/shoalmq/shoal/internal/outbox"
	"github.com/shoalmq/shoal/internal/pace"
	"github.com/shoalmq/shoal/packets"
)

// State is how far the delivery of an Entry has come.
type State byte

// The states, in their order.
const (
	Queued   State = iota // not sent yet, or to be sent for the first time
	Sent                  // PUBLISH sent, waiting for PUBACK or PUBREC
	Released              // PUBREC received, waiting for PUBCOMP
	Done                  // nothing left to do
)

// Entry is one message on its way to the client.
type Entry struct {
	Msg      *Message
	SubIDs   []uint32 // Subscription Identifiers of the subscriptions it matched, not changed any more
	Share    string   // the whole "$share/…" filter it came by, or ""
	Seq      uint64   // grows with every entry of a session; names the entry in storage
	PacketID uint16   // 0 until it is first sent
	QoS      packets.QoS
	Retain   bool // the RETAIN flag to send
	State    State
	Doubtful bool // it is Queued, and may nevertheless have been sent, by a node that was lost
	Handed   bool // it came by Share when another of the group had let go of it, or was lost
	Fresh    bool // the exchange that its message came by is not over: its publisher may send it again
	counted  bool // takes a place in the window of this connection
}

// Why says how an Entry ended.
type Why byte

// The ways an Entry ends.
const (
	Acknowledged Why = iota // the client took it
	Refused                 // the client answered with a reason code of 0x80 or more
	Expired                 // its Message Expiry Interval had passed before it was first sent
	TooLarge                // larger than the client's Maximum Packet Size
	QueueFull               // no room in the queue
	Withdrawn               // somebody else has it
)

// String names the reason as metrics and events do.
func (w Why) String() string {
	return [...]string{"acknowledged", "refused", "expired", "too_large", "queue_full", "withdrawn"}[w]
}

// Log is told every change, in order, under the session's lock: it keeps what must be durable and counts what is
// dropped. It must not block, and may keep neither the Entry nor change it.
type Log interface {
	Enqueued(e *Entry)
	Sent(e *Entry)
	PubRecReceived(e *Entry)
	Ended(e *Entry, why Why)
	Received(id uint16) // a QoS 2 message's identifier is taken
	Completed(id uint16)
}

// Limits bound one session. All are required.
type Limits struct {
	// QueuedMessages and QueuedBytes bound what waits or is in flight for the client. QueuedBytes counts Message.Cost. One
	// message may exceed it.
	QueuedMessages int
	QueuedBytes    int
	// DropOldest makes room by dropping the oldest waiting message instead of the new one.
	DropOldest bool
	// Wait has Offer take more than the queue has room for, up to as much again, while the client gets on.
	Wait bool
	// ReceiveMaximum is how many QoS 1 and 2 messages the client may have unacknowledged [MQTT-3.3.4-7].
	ReceiveMaximum int
	// OutboxBytes is how full the outbox may be before QoS 1 and 2 messages wait in the queue instead.
	OutboxBytes int
	// InFlightBytes is how much the messages in flight may cost, 0 for no limit; one may be in any case.
	InFlightBytes int
}

// Conn is what the CONNECT of a connection said, as far as it matters here.
type Conn struct {
	Version           packets.Version
	ReceiveMaximum    int // how many QoS 1 and 2 messages the client takes at a time
	MaximumPacketSize int // of the client; 0 for no limit
	TopicAliasMaximum uint16
	// Taker, if not nil, takes the messages as they are, in place of PUBLISH packets in the outbox.
	Taker Taker
}

// Taker takes the messages of a client that reads no PUBLISH packets: the program itself. Its methods are called with the session's lock held
// and must not block.
type Taker interface {
	// Room reports whether there is room for a message.
	Room(e *Entry) bool
	// Take takes a message for which there was room. It may keep what is in e, but not e. again: it may have been sent before.
	Take(e *Entry, again bool, now int64)
}

// Session is the protocol state of one client. Make one with New.
type Session struct {
	limits *Limits
	log    Log

	out    ring
	sent   int // entries at the front that have a packet identifier
	next   int // entries at the front that have been dealt with on this connection
	gap    int // entries at the front among which none is Queued; where dropOldest begins to look
	window int // entries that count against the client's Receive Maximum
	flying int // what they cost
	bytes  int // cost of all live entries
	// firstExpiry is the time before which no message that waits expires; 0 for never.
	firstExpiry int64
	live        int // entries that are not Done
	// scattered is set while identifiers do not all follow from the entries' numbers; see assign.
	scattered bool
	seq       uint64
	// held is set while QoS 2 entries wait until Stored says that they are kept; kept is the last one that is.
	held bool
	kept uint64

	lent     []Entry // by number; see Lend
	returned int     // of them, those that are not lent any more
	present  present // nil unless somebody has asked

	progress pace.Progress // of the client, with what is in the queue

	in       map[uint16]received
	open     int // of them
	inWindow int

	conn     Conn
	attached bool
	aliases  topicAliases
}

// New returns a Session without a connection. limits may be shared by many sessions and must not change.
func New(limits *Limits, log Log) *Session { return &Session{limits: limits, log: log} }

// Attach begins a connection. Pump must follow, once CONNACK is in the outbox.
func (s *Session) Attach(c Conn) {
	s.conn, s.attached = c, true
	s.aliases = topicAliases{max: c.TopicAliasMaximum}
	s.next, s.window, s.flying, s.inWindow = 0, 0, 0, 0
	for i := range s.out.n {
		s.out.at(i).counted = false
	}
}

// Released returns the identifiers of the messages that wait for PUBCOMP, in order. Their PUBRELs are
// to be sent again on a new connection [MQTT-4.4.0-1], once it is certain that their PUBRECs are kept.
func (s *Session) Released() (ids []uint16) {
	for i := range s.sent {
		if e := s.out.at(i); e.State == Released {
			ids = append(ids, e.PacketID)
		}
	}
	return ids
}

// Detach ends the connection.
func (s *Session) Detach() {
	s.attached = false
	s.aliases = topicAliases{}
	s.next = 0
}

// Attached reports whether there is a connection.
func (s *Session) Attached() bool { return s.attached }

// Version returns the protocol version of the connection.
func (s *Session) Version() packets.Version { return s.conn.Version }

// Len returns the number of messages that wait or are in flight.
func (s *Session) Len() int { return s.live }

// Bytes returns what they cost.
func (s *Session) Bytes() int { return s.bytes }

// InFlight returns the number of messages that were sent and are not acknowledged.
func (s *Session) InFlight() int {
	n := 0
	for i := range s.sent {
		if s.out.at(i).State != Done {
			n++
		}
	}
	return n
}

// Push appends a message of QoS 1 or 2 to the queue, or drops one according to the limits. It reports whether the
// message was taken. Pump sends it. A queue that is empty takes any message: there must be none that can never be
// delivered.
func (s *Session) Push(e Entry) bool {
	cost := e.Msg.Cost()
	for s.full(cost) {
		if !s.limits.DropOldest || cost > s.limits.QueuedBytes || !s.dropOldest() {
			s.log.Ended(&e, QueueFull)
			return false
		}
	}
	s.push(e)
	return true
}

// Offer is Push at now of a message whose publisher can be held back. With Limits.Wait, a queue that is full takes it nevertheless, as long as the
// client gets on; delay is how long the publisher's answer is to wait then, in any case, and far says that there is far too much: its publisher is
// to be read no further for a while.
func (s *Session) Offer(e Entry, now int64) (delay time.Duration, far, taken bool) {
	switch {
	case s.live == 0:
		s.progress.Empty(now)
	case !s.limits.Wait:
	case 2*s.live >= s.limits.QueuedMessages || 2*s.bytes >= s.limits.QueuedBytes:
		if cost := e.Msg.Cost(); s.full(cost) {
			return s.offerFull(e, cost, now)
		}
		s.progress.Look(now)
	default:
		s.progress.CaughtUp()
	}
	return 0, false, s.Push(e)
}

func (s *Session) offerFull(e Entry, cost int, now int64) (delay time.Duration, far, taken bool) {
	over, getsOn := s.over(cost), false
	if s.attached {
		if delay, getsOn = s.progress.Delay(over, now); !getsOn {
			delay = 0
		}
	}
	far = getsOn && (over > s.limits.QueuedMessages/2 || s.bytes+cost > s.limits.QueuedBytes/2*3)
	if !getsOn || over > s.limits.QueuedMessages || s.bytes+cost > 2*s.limits.QueuedBytes {
		if e.Share == "" { // else another member may take it
			s.log.Ended(&e, QueueFull)
		}
		return delay, far, false
	}
	s.push(e)
	return delay, far, true
}

// over returns how many messages must leave before one of this cost has its place within the limits.
func (s *Session) over(cost int) int {
	over := max(0, s.live+1-s.limits.QueuedMessages)
	if bytes := s.bytes + cost - s.limits.QueuedBytes; bytes > 0 {
		over = max(over, 1+int(int64(bytes)*int64(s.live)/int64(s.bytes)))
	}
	return over
}

// Crowded reports whether there is more in the queue than the limits allow.
func (s *Session) Crowded() bool {
	return s.live > s.limits.QueuedMessages || s.bytes > s.limits.QueuedBytes && s.live > 1
}

// full reports whether there is no room for a message.
func (s *Session) full(cost int) bool {
	return s.live > 0 && (s.live >= s.limits.QueuedMessages || s.bytes+cost > s.limits.QueuedBytes)
}

// Full reports whether Push would drop m.
func (s *Session) Full(m *Message) bool {
	cost := m.Cost()
	return s.full(cost) && (!s.limits.DropOldest || cost > s.limits.QueuedBytes)
}

// Expire ends the messages whose time has passed before they were sent [MQTT-3.3.2-5], if there is no room for m
// otherwise: they give up their place.
func (s *Session) Expire(m *Message, now int64) {
	if s.firstExpiry == 0 || now < s.firstExpiry || !s.full(m.Cost()) {
		return
	}
	s.firstExpiry = 0
	for i := s.sent; i < s.out.n; i++ {
		e := s.out.at(i)
		switch {
		case e.State != Queued || e.Msg.Expires == 0:
		case e.Msg.Expired(now):
			s.finish(e, Expired)
		default:
			s.expiresAt(e.Msg.Expires)
		}
	}
	s.tidy()
}

// expiresAt notes when a message that waits expires.
func (s *Session) expiresAt(at int64) {
	if at != 0 && (s.firstExpiry == 0 || at < s.firstExpiry) {
		s.firstExpiry = at
	}
}

// PushRetained is Push for a retained message, which is not limited: the message is in memory anyway.
func (s *Session) PushRetained(e Entry) { s.push(e) }

func (s *Session) push(e Entry) {
	s.seq++
	e.Seq, e.State, e.PacketID, e.counted = s.seq, Queued, 0, false
	s.live++
	s.bytes += e.Msg.Cost()
	s.expiresAt(e.Msg.Expires)
	p := s.out.push(e)
	s.arrives(p)
	s.log.Enqueued(p)
}

func (s *Session) dropOldest() bool {
	for i := max(s.sent, s.gap); i < s.out.n; i++ {
		if e := s.out.at(i); e.State == Queued {
			s.gap = i + 1
			s.end(e, QueueFull)
			return true
		}
	}
	s.gap = s.out.n
	return false
}

// Pump sends whatever the window and the outbox have room for; first, on a new connection, what was in flight on
// the one before [MQTT-4.4.0-1]. Call it when anything was pushed, acknowledged or written.
func (s *Session) Pump(out *outbox.Buffer, now int64) {
	for s.attached && s.next < s.out.n {
		e := s.out.at(s.next)
		switch e.State {
		case Done, Released: // see Released
			s.next++
			continue
		}
		if s.window >= s.conn.ReceiveMaximum || out.Len() >= s.limits.OutboxBytes || !s.takerHasRoom(e) || !s.mayFly(e) {
			return
		}
		first := e.State == Queued
		if first && e.Msg.Expired(now) {
			s.end(e, Expired) // [MQTT-3.3.2-5]
			continue
		}
		if first && s.held && e.QoS == 2 && e.Seq > s.kept {
			return
		}
		if e.PacketID == 0 && !s.assign(e) {
			return
		}
		if !s.appendPublish(out, e, !first || e.Doubtful, now) { // [MQTT-3.3.1-1]
			s.end(e, TooLarge) // [MQTT-3.1.2-25]
			continue
		}
		s.next++
		s.sent = max(s.sent, s.next)
		s.window++
		s.flying += e.Msg.Cost()
		e.counted, e.State = true, Sent
		if first {
			s.log.Sent(e)
		}
	}
}

// mayFly reports whether InFlightBytes let a message be sent.
func (s *Session) mayFly(e *Entry) bool {
	return s.limits.InFlightBytes == 0 || s.window == 0 || s.flying+e.Msg.Cost() <= s.limits.InFlightBytes
}

// Hold makes QoS 2 messages wait, from now on, until Stored covers them: a message that a client has had must not be forgotten, or it would
// come to it a second time, from its publisher.
func (s *Session) Hold(held bool) {
	s.held, s.kept = held, s.seq
}

// Stored says that the entries up to seq are kept.
func (s *Session) Stored(seq uint64) { s.kept = max(s.kept, seq) }

// Unstored returns the number of the last entry if QoS 2 messages up to it wait for Stored.
func (s *Session) Unstored() (seq uint64, waiting bool) { return s.seq, s.held && s.seq > s.kept }

// Last returns the number of the last entry, 0 if there was none.
func (s *Session) Last() uint64 { return s.seq }

// Skip makes the entries that follow have numbers greater than seq.
func (s *Session) Skip(seq uint64) { s.seq = max(s.seq, seq) }

// assign gives e a packet identifier that is not in use [MQTT-2.2.1-4]. It follows from the entry's number, so that a
// session that was stored before the PUBLISH left gives the same identifier to the same message after a crash, and the
// client recognises it.
func (s *Session) assign(e *Entry) bool {
	id := idOf(e.Seq)
	if s.sent > 0 && (s.scattered || e.Seq-s.out.at(0).Seq >= ids) {
		// The client left an early message unacknowledged while 65,535 later ones came and went.
		s.scattered = true
		for tries := 0; s.find(id) != nil; tries++ {
			if tries == ids {
				return false
			}
			id = id%ids + 1
		}
	}
	e.PacketID = id
	return true
}

// ids is how many packet identifiers there are.
const ids = 65535

// IDOf returns the packet identifier that an entry gets by its number, unless that is still in use.
func IDOf(seq uint64) uint16 { return idOf(seq) }

func idOf(seq uint64) uint16 { return uint16((seq-1)%ids) + 1 }

// find returns the entry in flight with the identifier, or nil.
func (s *Session) find(id uint16) *Entry {
	if s.sent == 0 {
		return nil
	}
	// Entries mostly stand side by side as they were numbered, so that the place can be computed.
	guess := (int(id) - int(idOf(s.out.at(0).Seq)) + ids) % ids
	if guess < s.sent {
		if e := s.out.at(guess); e.PacketID == id && e.State != Done {
			return e
		}
	}
	for i := range s.sent {
		if e := s.out.at(i); e.PacketID == id && e.State != Done {
			return e
		}
	}
	return nil
}

// end finishes an entry of the queue and forgets those at the front that are done.
func (s *Session) end(e *Entry, why Why) {
	s.finish(e, why)
	s.tidy()
}

// finish is the first half of end; no entry moves.
func (s *Session) finish(e *Entry, why Why) {
	if e.counted {
		s.window--
		s.flying -= e.Msg.Cost()
	}
	if why == Acknowledged {
		s.progress.Taken()
	}
	s.live--
	s.bytes -= e.Msg.Cost()
	e.State, e.counted = Done, false
	s.leaves(e)
	s.log.Ended(e, why)
	e.Msg, e.SubIDs = nil, nil
}

func (s *Session) tidy() {
	for s.out.n > 0 && s.out.at(0).State == Done {
		s.out.pop()
		s.next, s.sent, s.gap = max(0, s.next-1), max(0, s.sent-1), max(0, s.gap-1)
	}
	if s.sent == 0 {
		s.scattered = false
	}
	if s.out.n > 4*s.live+256 {
		s.sent, s.next = s.out.compact(s.sent, s.next)
		s.gap = 0
	}
}
