package shoal

import core "github.com/shoalmq/shoal/internal/session"

// sessionLog is the session as its core sees it: it keeps what must be durable and counts what is dropped. Every
// method is called under s.mu.
type sessionLog session

var _ core.Log = (*sessionLog)(nil)

func (l *sessionLog) Enqueued(e *core.Entry) {
	(*session)(l).weigh()
	if (*session)(l).keeps(e) {
		l.b.journal.enqueued((*session)(l), e)
	}
}

func (l *sessionLog) Sent(e *core.Entry) {
	if (*session)(l).keeps(e) {
		l.b.journal.sent((*session)(l), e)
	}
}

func (l *sessionLog) PubRecReceived(e *core.Entry) {
	if (*session)(l).keeps(e) {
		l.b.journal.pubRecReceived((*session)(l), e)
	}
}

func (l *sessionLog) Received(packetID uint16) {
	if (*session)(l).isLasting() {
		l.b.journal.received((*session)(l), packetID)
	}
}

func (l *sessionLog) Completed(packetID uint16) {
	if (*session)(l).isLasting() {
		l.b.journal.completed((*session)(l), packetID)
	}
}

func (l *sessionLog) Ended(e *core.Entry, why core.Why) {
	(*session)(l).weigh()
	if e.Seq != 0 && (*session)(l).keeps(e) {
		l.b.journal.entryEnded((*session)(l), e)
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
