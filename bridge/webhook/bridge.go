package webhook

import (
	"context"
	"encoding/json"
	"slices"
	"sync/atomic"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/bridge/document"
)

// Bridge is a shoal.Bridge to an HTTP server. Make one with New.
type Bridge struct {
	cfg  Config
	host atomic.Pointer[shoal.BridgeHost]
}

var (
	_ shoal.Bridge                 = (*Bridge)(nil)
	_ shoal.ConnectObserver        = (*Bridge)(nil)
	_ shoal.DisconnectObserver     = (*Bridge)(nil)
	_ shoal.SubscriptionObserver   = (*Bridge)(nil)
	_ shoal.UnsubscriptionObserver = (*Bridge)(nil)
	_ shoal.SessionObserver        = (*Bridge)(nil)
)

// New returns a bridge. It connects to nothing; what is wrong with cfg is reported by shoal.New.
func New(cfg Config) *Bridge {
	cfg.Filters, cfg.Header = slices.Clone(cfg.Filters), cfg.Header.Clone()
	cfg.Events.Kinds, cfg.Events.Filters = slices.Clone(cfg.Events.Kinds), slices.Clone(cfg.Events.Filters)
	cfg.setDefaults()
	return &Bridge{cfg: cfg}
}

// Name implements shoal.Bridge.
func (b *Bridge) Name() string { return b.cfg.Name }

// Validate reports what is wrong with the configuration. shoal.New calls it.
func (b *Bridge) Validate() error { return b.cfg.validate() }

// Bind implements shoal.Bridge.
func (b *Bridge) Bind(h *shoal.BridgeHost) { b.host.Store(h) }

// eventTopic is the topic of the bridge's own on which events wait.
const eventTopic = "event"

// wanted reports whether events of a kind are sent. The host is nil until the broker starts; nobody is connected then.
func (b *Bridge) wanted(kind string) (*shoal.BridgeHost, bool) {
	h := b.host.Load()
	return h, h != nil && slices.Contains(b.cfg.Events.Kinds, kind)
}

// emit has an event wait in the bridge's session.
func emit(h *shoal.BridgeHost, e *document.Event) {
	payload, err := json.Marshal(e)
	if err != nil {
		h.Logger().Error("an event cannot be encoded", "error", err)
		return
	}
	h.PublishEvent(shoal.Message{TopicName: h.Topic(eventTopic), Payload: payload})
}

// Connected implements shoal.ConnectObserver.
func (b *Bridge) Connected(ev shoal.ConnectedEvent) {
	if h, ok := b.wanted(document.KindConnected); ok {
		emit(h, document.OfConnected(h.Node(), &ev))
	}
}

// Disconnected implements shoal.DisconnectObserver.
func (b *Bridge) Disconnected(ev shoal.DisconnectedEvent) {
	if h, ok := b.wanted(document.KindDisconnected); ok {
		emit(h, document.OfDisconnected(h.Node(), &ev))
	}
}

// Subscribed implements shoal.SubscriptionObserver. All subscriptions of one SUBSCRIBE are one event.
func (b *Bridge) Subscribed(ev shoal.SubscribedEvent) {
	h, ok := b.wanted(document.KindSubscribed)
	if !ok || ev.Index > 0 {
		return
	}
	if subs := document.Concerned(b.cfg.Events.Filters, ev.Together); len(subs) > 0 {
		emit(h, document.OfSubscribed(h.Node(), &ev.Client, subs))
	}
}

// Unsubscribed implements shoal.UnsubscriptionObserver. All filters of one UNSUBSCRIBE are one event.
func (b *Bridge) Unsubscribed(ev shoal.UnsubscribedEvent) {
	h, ok := b.wanted(document.KindUnsubscribed)
	if !ok || ev.Index > 0 {
		return
	}
	if filters := document.ConcernedFilters(b.cfg.Events.Filters, ev.Together); len(filters) > 0 {
		emit(h, document.OfUnsubscribed(h.Node(), &ev.Client, filters))
	}
}

// SessionEnded implements shoal.SessionObserver.
func (b *Bridge) SessionEnded(clientID string) {
	if h, ok := b.wanted(document.KindSessionEnded); ok {
		emit(h, document.OfSessionEnded(h.Node(), clientID))
	}
}

// Run implements shoal.Bridge.
func (b *Bridge) Run(ctx context.Context, h *shoal.BridgeHost) error {
	filters := slices.Clone(b.cfg.Filters)
	if len(b.cfg.Events.Kinds) > 0 {
		filters = append(filters, h.Topic(eventTopic))
	}
	sub, err := h.Subscribe(ctx, shoal.BridgeSubscription{
		Filters: filters, QoS: b.cfg.QoS, Buffer: b.cfg.Buffer, BufferBytes: b.cfg.BufferBytes,
		RetainAsPublished: true, Spread: b.cfg.Spread,
	})
	if err != nil {
		return err
	}
	defer func() { _ = sub.Close() }() // cannot fail
	s := newSender(&b.cfg, h)
	defer s.close()
	g := gatherer{cfg: &b.cfg, sub: sub, events: h.Topic(eventTopic)}
	for {
		items, err := g.next(ctx)
		if err != nil {
			return err
		}
		if err := s.deliver(ctx, items); err != nil {
			return err
		}
	}
}
