package shoal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/shoalmq/shoal/packets"
	"github.com/shoalmq/shoal/topics"
)

// Bridge connects the broker to another system. It is a durable client within the program: what
// crosses it waits in a session of the broker (BridgeHost.Subscribe), under the guarantees and the
// limits that all sessions have, until the bridge has acknowledged it. In a cluster each node is
// given the same bridges; each message crosses a bridge once, by whichever node has its session.
//
// A Bridge that implements hook interfaces (see WithHook) is registered for them, too; one that has
// a method Validate() error is asked by New whether its configuration is good.
type Bridge interface {
	// Name tells the broker's bridges apart. It is the same on all nodes of a cluster, and has
	// letters, digits, and - _ . alone.
	Name() string
	// Bind is called once, before any client connects, and returns at once. What the bridge has to
	// publish outside of Run, events for example, it publishes by h.
	Bind(h *BridgeHost)
	// Run bridges until ctx ends, which is when the broker shuts down, or until it cannot go on. It
	// is called again after an error: half a second later, and twice as long each time, up to
	// half a minute. What fails for a while,
	// such as a server that is away, is Run's own business: a bridge that goes on trying keeps its
	// session. Run may use several goroutines, and returns when all of them have ended. A panic
	// on its own goroutine counts as an error.
	Run(ctx context.Context, h *BridgeHost) error
}

// WithBridge adds a bridge to another system. It may be given several times.
func WithBridge(br Bridge) Option { return func(c *config) { c.bridges = append(c.bridges, br) } }

// BridgeHost is what a Bridge has of the broker. Its methods may be called on any goroutine.
type BridgeHost struct {
	b      *Broker
	bridge Bridge
	name   string
	id     string // ClientID, and publisher of what the bridge publishes
	log    *slog.Logger

	status bridgeStatus
	spread atomic.Bool

	published, failed, delivered atomic.Uint64
}

// bridgePrefix begins the ClientIDs of bridges, and the names of their topics.
const bridgePrefix = ownPrefix + "bridge/"

func newBridgeHost(b *Broker, br Bridge) *BridgeHost {
	h := &BridgeHost{b: b, bridge: br, name: br.Name()}
	h.id = bridgePrefix + h.name
	h.log = b.log.With("bridge", h.name)
	h.status.state, h.status.since = BridgeWaiting, b.began
	return h
}

// Name returns the bridge's.
func (h *BridgeHost) Name() string { return h.name }

// ClientID returns the Publisher that messages of the bridge have, and the ClientID of its session.
func (h *BridgeHost) ClientID() string { return h.id }

// Node returns the name of this node, "" if the broker is alone.
func (h *BridgeHost) Node() string {
	if h.b.cluster == nil {
		return ""
	}
	return h.b.cluster.self.Name
}

// Logger returns a logger that names the bridge.
func (h *BridgeHost) Logger() *slog.Logger { return h.log }

// Topic returns a topic of the bridge's own, which clients can neither publish nor subscribe to. What
// each node has to tell, the events of its clients for example, it publishes there, and the bridge
// subscribes to it.
func (h *BridgeHost) Topic(name string) string { return h.id + "/" + name }

// Publish is Broker.Publish with the bridge as the publisher. The bridge is not given the message
// itself (see Subscribe).
func (h *BridgeHost) Publish(ctx context.Context, m Message) error {
	done := make(chan error, 1)
	if err := h.PublishAsync(ctx, m, func(err error) { done <- err }); err != nil {
		return err
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-h.b.life.Done():
		return ErrClosed
	}
}

// PublishAsync is Publish that does not wait for the message to be everywhere: then is called when
// that is so, or with the reason why it is not, on any goroutine, and must not block. Messages are
// routed in the order of the calls. If an error is returned, then is not called. The caller bounds
// how many it has outstanding.
func (h *BridgeHost) PublishAsync(ctx context.Context, m Message, then func(error)) error {
	wait, err := h.b.publishAs(ctx, h.id, &m)
	if err != nil {
		h.failed.Add(1)
		return err
	}
	accepted := func(code packets.ReasonCode) {
		err := publishResult(code)
		if err != nil {
			h.failed.Add(1)
		} else {
			h.published.Add(1)
		}
		then(err)
	}
	if wait == nil {
		accepted(packets.Success)
	} else {
		wait.begin(accepted)
	}
	return nil
}

// PublishEvent publishes a message of QoS 1 to a topic of the bridge's own (see Topic), as the program, and does not
// wait at all: hooks may call it. What cannot be kept is dropped with a reason, as any message is.
func (h *BridgeHost) PublishEvent(m Message) {
	m.QoS = 1
	if h.b.running() != nil || !h.b.serving() {
		h.b.drop(DroppedEvent{ClientID: h.id, TopicName: m.TopicName, QoS: 1, Reason: DropNotServing})
		return
	}
	_ = h.b.publish(&m, "", nil, func(packets.ReasonCode) {}) // what is not kept is counted
}

// KeepEvent is PublishEvent that returns when the event is kept, as Broker.Publish does.
func (h *BridgeHost) KeepEvent(ctx context.Context, m Message) error {
	m.QoS = 1
	return h.b.Publish(ctx, m)
}

// Drop counts a message that the other system has given the bridge and that cannot be published.
func (h *BridgeHost) Drop(topicName string, qos packets.QoS, reason DropReason) {
	h.b.drop(DroppedEvent{ClientID: h.id, TopicName: topicName, QoS: qos, Reason: reason})
}

// BridgeSubscription is how a bridge subscribes.
type BridgeSubscription struct {
	// Filters may be empty: then the session is what decides which node's bridge is at work.
	Filters []string
	QoS     packets.QoS
	// Buffer and BufferBytes bound what the bridge has and has not acknowledged; see SubscribeOptions.
	Buffer, BufferBytes int
	RetainAsPublished   bool
	// Spread has all nodes bridge at the same time, each with a session of its own in one shared
	// group, so that each message still crosses once. Order is then kept per node only. Without it
	// one node bridges, and the others stand by.
	Spread bool
}

// spreadExpiry is how long the session of one node of a bridge that is spread lasts when nobody has
// it. What is in it goes to other nodes long before, if there are any; see handOnLost.
const spreadExpiry = 7 * 24 * time.Hour

// Subscribe waits until the bridge may have its session on this node, and returns it. Messages are
// acknowledged by hand. Those that the bridge has published itself are not handed out. The
// subscription is closed before Run returns, by whoever has it or by the broker.
func (h *BridgeHost) Subscribe(ctx context.Context, s BridgeSubscription) (*Subscription, error) {
	o := SubscribeOptions{
		Name: h.name, QoS: s.QoS, Buffer: s.Buffer, BufferBytes: s.BufferBytes,
		RetainHandling: 1, RetainAsPublished: s.RetainAsPublished, AcknowledgeByHand: true,
	}
	id, filters := h.id, s.Filters
	if s.Spread {
		h.spread.Store(true)
		id += "@" + h.Node()
		o.Expiry = spreadExpiry
		filters = make([]string, 0, len(s.Filters))
		for _, f := range s.Filters {
			if _, shared, _ := topics.ParseShare(f); !shared {
				f = "$share/bridge-" + h.name + "/" + f
			}
			filters = append(filters, f)
		}
	}
	h.enter(BridgeStandby, nil)
	sub, err := h.b.subscribeByName(ctx, id, h.id, filters, o)
	if err != nil {
		return nil, err
	}
	h.status.hold(sub)
	h.log.Info("bridge has its session")
	h.enter(BridgeRunning, nil)
	return sub, nil
}

// publishAs is submit of a message of the program's, once it may publish.
func (b *Broker) publishAs(ctx context.Context, publisher string, m *Message) (*acceptance, error) {
	if err := b.checkPublishable(ctx, m); err != nil {
		return nil, err
	}
	if err := b.mayPublish(ctx, m, publisher); err != nil {
		return nil, err
	}
	leave, err := b.enterJournal(ctx, m)
	if err != nil {
		return nil, err
	}
	defer leave()
	return b.submit(m, publisher, nil)
}

// publishResult is the error of an acceptance, nil if there is none.
func publishResult(code packets.ReasonCode) error {
	switch {
	case code == errCannotKeep.ReasonCode:
		return errCannotKeep
	case code.IsError():
		return &Error{ReasonCode: code, Reason: "the message was not accepted everywhere"}
	}
	return nil
}

// addBridges checks the bridges, and registers them as hooks.
func (b *Broker) addBridges() error {
	var errs []error
	names := make(map[string]bool)
	for _, br := range b.cfg.bridges {
		if br == nil {
			errs = append(errs, errors.New("shoal: WithBridge: nil"))
			continue
		}
		name := br.Name()
		if err := validateName(name); err != nil {
			errs = append(errs, fmt.Errorf("shoal: WithBridge: %T: Name %q: %w", br, name, err))
		}
		if names[name] {
			errs = append(errs, fmt.Errorf("shoal: WithBridge: two bridges have the Name %q; give each its own", name))
		}
		names[name] = true
		if v, ok := br.(interface{ Validate() error }); ok {
			if err := v.Validate(); err != nil {
				errs = append(errs, fmt.Errorf("shoal: WithBridge %q: %w", name, err))
			}
		}
		_ = b.hooks.add(br) // it need not be one
	}
	return errors.Join(errs...)
}
