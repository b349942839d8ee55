package shoal

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/shoalmq/shoal/internal/pace"
	"github.com/shoalmq/shoal/internal/pipe"
	core "github.com/shoalmq/shoal/internal/session"
	"github.com/shoalmq/shoal/packets"
	"github.com/shoalmq/shoal/topics"
)

// Publish publishes a message on behalf of the program. It returns when every matching session has it, as a PUBACK would
// tell a client, or with an error that carries a reason code; a QoS 0 message is not waited for. The broker keeps nothing
// of m. Authenticator, Authorizer and publish interceptors are not asked. While too much waits to be stored, or to be taken by another node, it waits, or
// returns ctx's error.
func (b *Broker) Publish(ctx context.Context, m Message) error {
	wait, err := b.publishAs(ctx, "", &m)
	if wait == nil || err != nil {
		return err
	}
	done := make(chan packets.ReasonCode, 1)
	wait.begin(func(code packets.ReasonCode) { done <- code })
	select {
	case code := <-done:
		return publishResult(code)
	case <-ctx.Done():
		return ctx.Err()
	case <-b.life.Done():
		return ErrClosed
	}
}

// checkPublishable returns when the node may publish, or with what is wrong with the message.
func (b *Broker) checkPublishable(ctx context.Context, m *Message) error {
	if err := b.running(); err != nil {
		return err
	}
	if err := topics.ValidateName(m.TopicName); err != nil {
		return &Error{ReasonCode: packets.TopicNameInvalid, Reason: err.Error(), Err: err}
	}
	if m.QoS > 2 {
		return &Error{ReasonCode: packets.QoSNotSupported, Reason: fmt.Sprintf("QoS is %d; it must be 0, 1 or 2", m.QoS)}
	}
	if size := len(m.TopicName) + len(m.Payload); size > int(b.limits.MaximumPacketSize) {
		return &Error{ReasonCode: packets.PacketTooLarge, Reason: fmt.Sprintf("topic and payload have %d bytes; Limits.MaximumPacketSize allows %d", size, b.limits.MaximumPacketSize)}
	}
	if b.cluster != nil {
		if err := b.cluster.awaitServing(ctx); err != nil {
			return err
		}
	}
	if b.cluster != nil {
		return b.cluster.pause(ctx)
	}
	return nil
}

// enterJournal takes room in the journal for a message of the program's that may have to be kept, until leave is called.
func (b *Broker) enterJournal(ctx context.Context, m *Message) (leave func(), err error) {
	if b.journal == nil || (m.QoS == 0 && !m.Retain) {
		return func() {}, nil
	}
	size := len(m.TopicName) + len(m.Payload)
	if err := b.journal.enter(ctx, size); err != nil {
		return nil, fmt.Errorf("shoal: there is no room for the message while those before it are being stored: %w", err)
	}
	return func() { b.journal.giveBack(size) }, nil
}

// publish is submit with a function that is called once the message's acceptance is complete.
func (b *Broker) publish(m *Message, publisher string, origin *core.Origin, then func(packets.ReasonCode)) error {
	wait, err := b.submit(m, publisher, origin)
	switch {
	case err != nil:
		return err
	case wait == nil:
		then(packets.Success)
	default:
		wait.begin(then)
	}
	return nil
}

// submit routes a message that comes from no connection. It returns what is to be waited for before the message is accepted, nil for
// nothing; the caller begins that. If it returns an error, nobody has the message.
func (b *Broker) submit(m *Message, publisher string, origin *core.Origin) (*acceptance, error) {
	sc := b.scratch()
	sc.pub = publishOf(m)
	sc.r.deliveryQoS = packets.Optional[packets.QoS]{}
	sc.r.begin(&sc.pub, publisher, b.sessions.get(publisher), sc)
	if b.cannotKeep(sc) {
		sc.release()
		b.dropUnkept(m, publisher)
		return nil, errCannotKeep
	}
	sc.r.durability = firstOf(m.Durability, sc.r.durability)
	if sc.r.durability != DurabilityMemory {
		sc.r.origin = origin
	}
	if o := sc.r.origin; o != nil && o.Again != 0 {
		ctx, cancel := context.WithTimeout(b.life, servingPatience)
		if err := b.cluster.askGroups(ctx, sc); err != nil { // rather twice to a group than never
			b.log.Debug("it is not known whether a shared group has had a will", "client_id", publisher, "error", err)
		}
		cancel()
	}
	b.route(sc)
	wait := sc.r.wait
	sc.pub = packets.Publish{} // what it refers to is the caller's
	sc.release()
	return wait, nil
}

// SubscribeOptions are those of an in-process subscription. The zero value is QoS 0 with default limits.
type SubscribeOptions struct {
	QoS packets.QoS
	// Buffer is how many messages wait for Next, BufferBytes how many bytes of them. Default 1,024 and 16 MiB. What does not fit is
	// dropped, with the reason queue_full, unless it is of QoS 1 or 2 and Next gets on: with Limits.WhenFull at QueueWait its publisher
	// is held back then. A single message is taken whatever its size.
	Buffer      int
	BufferBytes int
	// RetainHandling and RetainAsPublished are as in a SUBSCRIBE packet.
	RetainHandling    byte
	RetainAsPublished bool
	// Name makes the subscription last. It is then a session like that of a client: stored and
	// replicated as those are, it goes on where it was, with all messages that came meanwhile, after
	// a restart, and in a cluster on another node. Limits.QueuedMessages, QueuedBytes and WhenFull
	// bound what waits. Of all subscriptions of one Name in a cluster one at a time gets messages;
	// Subscribe waits until that is this one. If the session is lost to another (ErrTakenOver), or
	// this node to the cluster (ErrNotServing), Next says so at once, and what was not acknowledged
	// comes again. Filters that are not given again end. Messages of QoS 0 come only while the
	// subscription is open. A Name has letters, digits, and - _ . alone.
	Name string
	// AcknowledgeByHand leaves each message of QoS 1 and 2 in the session until Message.Acknowledge
	// or Message.Refuse, and no more than Buffer of them and BufferBytes are out at a time. By
	// default Next acknowledges. It needs a Name.
	AcknowledgeByHand bool
	// Expiry is how long the session of a Name lasts without a subscription. Default: for ever.
	Expiry time.Duration
}

// Subscription is a subscription of the program itself. Each is independent of all others, and of every client.
type Subscription struct {
	lasting *lasting // nil without a Name; else all else is unused

	b    *Broker
	subs []*subscription
	opts SubscribeOptions

	mu     sync.Mutex
	queue  []Message
	bytes  int
	closed bool
	signal chan struct{}
	// progress is that of Next.
	progress pace.Progress
	// catching holds the IDs of the messages that came since Subscribe began, and of the retained ones that it has found, so that none comes twice.
	catching map[msgID]struct{}
}

// Subscribe subscribes the program to filters, "$share/group/filter" included. It returns when a message published anywhere in the
// cluster from then on reaches the subscription. Close it when done.
func (b *Broker) Subscribe(ctx context.Context, filters []string, opts SubscribeOptions) (*Subscription, error) {
	if err := b.running(); err != nil {
		return nil, err
	}
	if len(filters) == 0 {
		return nil, errors.New("shoal: Subscribe: filters is empty; name at least one")
	}
	if opts.Name != "" {
		if err := validateName(opts.Name); err != nil {
			return nil, fmt.Errorf("shoal: Subscribe: Name %q: %w", opts.Name, err)
		}
		return b.subscribeByName(ctx, ownPrefix+opts.Name, "", filters, opts)
	}
	if opts.AcknowledgeByHand || opts.Expiry != 0 {
		return nil, errors.New("shoal: Subscribe: AcknowledgeByHand and Expiry need a Name: only a session keeps messages")
	}
	if opts.QoS > 2 || opts.RetainHandling > 2 {
		return nil, fmt.Errorf("shoal: Subscribe: QoS %d and RetainHandling %d must be 0, 1 or 2", opts.QoS, opts.RetainHandling)
	}
	set(&opts.Buffer, 1024)
	set(&opts.BufferBytes, 16<<20)
	l := &Subscription{b: b, opts: opts, signal: make(chan struct{}, 1), catching: make(map[msgID]struct{})}
	for _, f := range filters {
		sub, err := b.parseSubscription(&packets.Subscription{
			TopicFilter: f, QoS: opts.QoS, RetainHandling: opts.RetainHandling, RetainAsPublished: opts.RetainAsPublished,
		}, nil)
		if err != nil {
			return nil, fmt.Errorf("shoal: Subscribe %q: %w", f, err)
		}
		sub.local = l
		l.subs = append(l.subs, sub)
	}
	b.sessions.addLocal(l)
	for _, sub := range l.subs {
		b.addSubscription(sub, nil)
	}
	if err := b.settle(ctx, l.subs, b.durability); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	sc := b.scratch()
	defer sc.release()
	for _, sub := range l.subs {
		b.sendRetained(sc, sub, true)
	}
	l.mu.Lock()
	l.catching = nil
	l.mu.Unlock()
	return l, nil
}

// subscribeByName makes a subscription that lasts.
func (b *Broker) subscribeByName(ctx context.Context, id, skip string, filters []string, opts SubscribeOptions) (*Subscription, error) {
	if opts.QoS > 2 || opts.RetainHandling > 2 {
		return nil, fmt.Errorf("shoal: Subscribe: QoS %d and RetainHandling %d must be 0, 1 or 2", opts.QoS, opts.RetainHandling)
	}
	set(&opts.Buffer, 1024)
	set(&opts.BufferBytes, 16<<20)
	l, err := b.subscribeLasting(ctx, id, skip, filters, opts)
	if err != nil {
		return nil, err
	}
	return &Subscription{lasting: l}, nil
}

// pushRetained is push of a retained message, unless it has come already, live or by another filter.
func (l *Subscription) pushRetained(m *core.Message, qos packets.QoS, ids []uint32) {
	l.mu.Lock()
	_, had := l.catching[m.ID]
	l.mu.Unlock()
	if !had || m.ID == (msgID{}) {
		l.push(nil, m, qos, true, ids, false)
	}
}

// push queues a message, or drops it. It reports whether it was queued. r is what its publisher is held back by, nil for none.
func (l *Subscription) push(r *routing, m *core.Message, qos packets.QoS, retain bool, ids []uint32, shared bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	cost := m.Cost()
	if len(l.queue) == 0 {
		l.progress.Empty(l.b.nano())
	}
	full := len(l.queue) >= l.opts.Buffer || (len(l.queue) > 0 && l.bytes+cost > l.opts.BufferBytes)
	if full && (r == nil || !l.crowd(r, cost)) {
		if !shared { // else another member may take it
			l.b.drop(DroppedEvent{TopicName: m.TopicName, QoS: qos, Reason: DropQueueFull})
		}
		return false
	}
	if l.catching != nil {
		l.catching[m.ID] = struct{}{}
	}
	pub := publicMessage(m, l.b.nano())
	pub.QoS, pub.Retain, pub.Properties.SubscriptionIdentifiers = qos, retain, ids
	l.queue = append(l.queue, pub)
	l.bytes += cost
	select {
	case l.signal <- struct{}{}:
	default:
	}
	return true
}

// crowd reports whether a queue that is full takes another message, whose publisher it holds back. The caller holds l.mu.
func (l *Subscription) crowd(r *routing, cost int) bool {
	if l.b.limits.WhenFull != QueueWait || r.qos() == 0 {
		return false
	}
	delay, getsOn := l.progress.Delay(max(1, len(l.queue)+1-l.opts.Buffer), r.nano)
	if !getsOn {
		return false
	}
	r.holdBack(delay, false)
	return len(l.queue) < 2*l.opts.Buffer && l.bytes+cost <= 2*l.opts.BufferBytes
}

// Next returns the next message, in order, waiting for one until ctx ends. After Close it returns what is left, then ErrClosed. It is
// meant for one goroutine at a time. A subscription with a Name returns an error at once when it has ended: what is left stays in its session.
func (l *Subscription) Next(ctx context.Context) (Message, error) {
	if l.lasting != nil {
		return l.lasting.next(ctx)
	}
	for {
		l.mu.Lock()
		if len(l.queue) > 0 {
			m := l.queue[0]
			l.queue[0] = Message{}
			l.queue = l.queue[1:]
			l.bytes -= messageCost(&m)
			l.progress.Taken()
			l.mu.Unlock()
			return m, nil
		}
		closed := l.closed
		l.bytes = 0
		l.mu.Unlock()
		if closed {
			return Message{}, ErrClosed
		}
		select {
		case <-l.signal:
		case <-ctx.Done():
			return Message{}, ctx.Err()
		}
	}
}

func messageCost(m *Message) int {
	s := core.Message{TopicName: m.TopicName, Payload: m.Payload, Properties: &m.Properties}
	return s.Cost()
}

// Remove closes a subscription with a Name for good: its session ends, with everything in it.
func (l *Subscription) Remove() error {
	if l.lasting == nil {
		return l.Close()
	}
	l.lasting.close(true)
	return nil
}

// Close ends the subscription; the session of one with a Name stays. Calling it twice is fine.
func (l *Subscription) Close() error {
	if l.lasting != nil {
		l.lasting.close(false)
		return nil
	}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	l.mu.Unlock()
	select {
	case l.signal <- struct{}{}:
	default:
	}
	for _, sub := range l.subs {
		l.b.removeSubscription(sub)
	}
	l.b.sessions.removeLocal(l)
	return nil
}

// closer is an in-process subscription.
type closer interface{ Close() error }

func (r *sessions) addLocal(l closer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.local[l] = struct{}{}
}

func (r *sessions) removeLocal(l closer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.local, l)
}

// closeLocal closes all in-process subscriptions.
func (r *sessions) closeLocal() {
	r.mu.RLock()
	var list []closer
	for l := range r.local {
		list = append(list, l)
	}
	r.mu.RUnlock()
	for _, l := range list {
		_ = l.Close() // cannot fail
	}
}

// inProcess is the name of the listener that Dial's connections come from.
const inProcess = "inprocess"

// Dial connects to the broker without a socket: what is written to the connection is read by the broker as if it had come over a
// listener named "inprocess".
func (b *Broker) Dial(ctx context.Context) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := b.running(); err != nil {
		return nil, err
	}
	b.mu.Lock()
	closing := b.closing
	b.mu.Unlock()
	if closing {
		return nil, ErrClosed
	}
	client, server := pipe.New(inProcess)
	b.serve(server, inProcess, false)
	return client, nil
}
