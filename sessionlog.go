package shoal

import core "github.com/shoalmq/shoal/internal/session"

// sessionLog is the session as its core sees it: it keeps what must be durable and counts what is dropped. Every
// method is called under s.mu.
type sessionLog session

func (l *sessionLog) Enqueued(e *core.Entry) {
	if !l.durable {
		return
	}
	if st := l.b.journal.store; st != nil {
		st.write(entryOp(l.clientID, e))
	}
	if l.b.journal.common != nil {
		s := (*session)(l)
		note := s.noteEntry(e)
		if note == nil && e.QoS == 2 {
			note = []byte{noteHere}
		}
		l.b.journal.common.write(sessionSpace(l.clientID), l.fence, note, entryOp(l.clientID, e))
	}
	if r := l.b.journal.replication; r != nil {
		r.enqueued((*session)(l), e)
	}
}

func (l *sessionLog) Sent(e *core.Entry) {
	if !l.durable {
		return
	}
	if st := l.b.journal.store; st != nil {
		st.write(stateOp(l.clientID, e))
	}
	if l.b.journal.common != nil {
		(*session)(l).writeCommon(stateOp(l.clientID, e))
	}
	if r := l.b.journal.replication; r != nil {
		r.sent((*session)(l), e)
	}
}

func (l *sessionLog) PubRecReceived(e *core.Entry) {
	if !l.durable {
		return
	}
	if st := l.b.journal.store; st != nil {
		st.write(stateOp(l.clientID, e))
	}
	if l.b.journal.common != nil {
		l.b.journal.common.write(sessionSpace(l.clientID), l.fence, []byte{noteHere}, stateOp(l.clientID, e))
	}
	if r := l.b.journal.replication; r != nil {
		r.pubRecReceived((*session)(l), e)
	}
}

func (l *sessionLog) Ended(e *core.Entry, why core.Why) {
	if l.durable && e.Seq != 0 {
		l.entryEnded(e)
	}
	if l.b.cluster != nil {
		l.b.cluster.noteAnswered(e, why)
	}
	var reason DropReason
	switch why {
	case core.Refused:
		reason = DropRefused
	case core.Expired:
		reason = DropExpired
	case core.TooLarge:
		reason = DropTooLarge
	case core.QueueFull:
		reason = DropQueueFull
	default:
		return
	}
	l.b.drop(DroppedEvent{ClientID: l.clientID, TopicName: e.Msg.TopicName, QoS: e.QoS, Reason: reason})
}

func (l *sessionLog) entryEnded(e *core.Entry) {
	if st := l.b.journal.store; st != nil {
		st.write(endOps(l.clientID, e)...)
	}
	if l.b.journal.common != nil {
		(*session)(l).writeCommon(endOps(l.clientID, e)...)
	}
	if r := l.b.journal.replication; r != nil {
		r.ended((*session)(l), e)
	}
}

func (l *sessionLog) Received(id uint16) { l.identifier(id, []byte{}) }

func (l *sessionLog) Completed(id uint16) { l.identifier(id, nil) }

// identifier notes that an identifier of the client's is taken, or, with a nil value, free.
func (l *sessionLog) identifier(id uint16, value []byte) {
	if !l.durable {
		return
	}
	if st := l.b.journal.store; st != nil {
		st.write(Op{Space: sessionSpace(l.clientID), Key: receivedKey(id), Value: value})
	}
	if l.b.journal.common != nil {
		op := Op{Space: sessionSpace(l.clientID), Key: receivedKey(id), Value: value}
		if s := (*session)(l); value == nil {
			s.noteOver(id, op)
		} else {
			s.writeCommon(op)
		}
	}
	if r := l.b.journal.replication; r != nil {
		r.received((*session)(l), id, value != nil)
	}
}

var _ core.Log = (*sessionLog)(nil)
