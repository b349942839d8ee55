package nemesis

import (
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/shoalmq/shoal/cluster/history"
	"github.com/shoalmq/shoal/packets"
)

// link is one connection of a client.
type link struct {
	c    *client
	node int
	conn net.Conn
	rec  *history.ConnRecorder
	done chan struct{} // closed when nothing more is read
	wake chan struct{}
	pong chan struct{} // gets something with each PINGRESP

	// Guarded by c.mu.
	out  []byte           // to be written
	late []packets.Packet // acknowledgements that a lazy client still owes
	old  bool             // another connection of the client has taken its place
}

// hello sends CONNECT and waits for the answer, which is not recorded yet.
func (l *link) hello() (*packets.ConnAck, error) {
	c := l.c
	p := &packets.Connect{ProtocolVersion: c.like.version, ClientID: c.id, CleanStart: c.like.clean, KeepAlive: uint16(silence / time.Second)}
	if c.like.version >= packets.V5 {
		if c.like.expiry > 0 {
			p.Properties.SessionExpiryInterval = packets.Some(c.like.expiry)
		}
		if c.like.receiveMaximum > 0 {
			p.Properties.ReceiveMaximum = packets.Some(c.like.receiveMaximum)
		}
	}
	if c.like.will {
		p.Will = c.will()
	}
	fail := func(err error) (*packets.ConnAck, error) {
		by := history.ByPeer
		if errors.Is(err, os.ErrDeadlineExceeded) {
			by = history.ByClient
		}
		l.rec.Closed(by, err.Error())
		_ = l.conn.Close()
		return nil, err
	}
	b, err := packets.Append(nil, p, c.like.version)
	if err != nil {
		panic(err) // it is made here
	}
	l.rec.Sent(p)
	_ = l.conn.SetDeadline(time.Now().Add(connackTimeout))
	if _, err := l.conn.Write(b); err != nil {
		return fail(err)
	}
	answer, err := packets.Read(l.conn, c.like.version, maxPacket)
	if err != nil {
		return fail(err)
	}
	ack, ok := answer.(*packets.ConnAck)
	if !ok {
		return fail(fmt.Errorf("expected CONNACK, got %T", answer))
	}
	_ = l.conn.SetDeadline(time.Time{})
	return ack, nil
}

// read takes what arrives until the connection ends.
func (l *link) read() {
	defer close(l.done)
	for {
		_ = l.conn.SetReadDeadline(time.Now().Add(silence))
		p, err := packets.Read(l.conn, l.c.like.version, maxPacket)
		if err != nil {
			by := history.ByPeer
			if errors.Is(err, os.ErrDeadlineExceeded) {
				by = history.ByClient
			}
			l.rec.Closed(by, err.Error())
			_ = l.conn.Close()
			return
		}
		l.c.handle(l, p)
	}
}

// write writes what was sent until the connection ends.
func (l *link) write() {
	for {
		select {
		case <-l.wake:
		case <-l.done:
			return
		}
		l.c.mu.Lock()
		b := l.out
		l.out = nil
		l.c.mu.Unlock()
		_ = l.conn.SetWriteDeadline(time.Now().Add(silence))
		if _, err := l.conn.Write(b); err != nil {
			_ = l.conn.SetReadDeadline(time.Now()) // the reader ends the connection
			return
		}
	}
}

// send records a packet and has it written. The caller holds c.mu, so that the record has the order of the wire.
func (l *link) send(p packets.Packet) {
	b, err := packets.Append(l.out, p, l.c.like.version)
	if err != nil {
		panic(err) // it is made here
	}
	l.rec.Sent(p)
	l.out = b
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *link) answer(p packets.Packet) {
	if (l.c.like.lazy || l.c.like.mute) && !l.c.w.settling.Load() {
		l.late = append(l.late, p)
		return
	}
	l.payUp()
	l.send(p)
}

// payUp sends what a lazy client owes. The caller holds c.mu.
func (l *link) payUp() {
	for _, p := range l.late {
		l.send(p)
	}
	l.late = nil
}

// drop ends the connection without a word.
func (l *link) drop() {
	l.rec.Closed(history.ByClient, "dropped")
	_ = l.conn.Close()
	<-l.done
}

// leave says DISCONNECT and waits for the end.
func (l *link) leave(code packets.ReasonCode) {
	l.c.mu.Lock()
	l.send(&packets.Disconnect{ReasonCode: code})
	l.c.mu.Unlock()
	t := time.NewTimer(5 * time.Second)
	defer t.Stop()
	select {
	case <-l.done:
	case <-t.C:
		l.drop()
	}
}

func (l *link) over() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}
