package kafka

import (
	"context"
	"encoding/json"
	"time"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/bridge/document"
	"github.com/shoalmq/shoal/packets"
	"github.com/shoalmq/shoal/topics"
)

// eventTopic is the topic of the bridge's own on which events wait, and keyProperty says with which key.
const (
	eventTopic  = "event"
	keyProperty = "key"
)

// emit has an event wait in the bridge's session, for its turn to be written.
func (b *Bridge) emit(key string, value any) {
	if m, h, ok := b.eventMessage(key, value); ok {
		h.PublishEvent(m)
	}
}

func (b *Bridge) eventMessage(key string, value any) (m shoal.Message, h *shoal.BridgeHost, ok bool) {
	h = b.bound()
	if h == nil {
		return m, nil, false // nobody is connected yet
	}
	payload, err := json.Marshal(value)
	if err != nil {
		h.Logger().Error("an event cannot be encoded", "error", err)
		return m, nil, false
	}
	m = shoal.Message{TopicName: h.Topic(eventTopic), Payload: payload, QoS: 1}
	m.Properties.UserProperties = []packets.UserProperty{{Key: keyProperty, Value: key}}
	return m, h, true
}

func eventKey(m *shoal.Message) string {
	for _, u := range m.Properties.UserProperties {
		if u.Key == keyProperty {
			return u.Value
		}
	}
	return ""
}

func (b *Bridge) wanted() (on, comqtt bool) {
	return b.cfg.Events.Topic != "", b.cfg.Events.Format == FormatComqtt
}

func (b *Bridge) node() string {
	if h := b.bound(); h != nil {
		return h.Node()
	}
	return ""
}

func (b *Bridge) emitDocument(e *document.Event) { b.emit(e.Client, e) }

// Connected implements shoal.ConnectObserver.
func (b *Bridge) Connected(ev shoal.ConnectedEvent) {
	on, comqtt := b.wanted()
	switch {
	case !on:
	case comqtt:
		b.emitConnect(&ev)
	default:
		b.emitDocument(document.OfConnected(b.node(), &ev))
	}
}

// Disconnected implements shoal.DisconnectObserver.
func (b *Bridge) Disconnected(ev shoal.DisconnectedEvent) {
	on, comqtt := b.wanted()
	switch {
	case !on:
	case comqtt:
		b.emitDisconnect(&ev)
	default:
		b.emitDocument(document.OfDisconnected(b.node(), &ev))
	}
}

// Subscribed implements shoal.SubscriptionObserver. All subscriptions of one SUBSCRIBE are one event.
func (b *Bridge) Subscribed(ev shoal.SubscribedEvent) {
	on, comqtt := b.wanted()
	if !on || ev.Index > 0 {
		return
	}
	subs := document.Concerned(b.cfg.Events.Filters, ev.Together)
	switch {
	case len(subs) == 0:
	case comqtt:
		var filters []string
		for _, s := range subs {
			filters = append(filters, s.TopicFilter)
		}
		b.emitFilters("subscribe", &ev.Client, ev.PacketID, filters)
	default:
		b.emitDocument(document.OfSubscribed(b.node(), &ev.Client, subs))
	}
}

// Unsubscribed implements shoal.UnsubscriptionObserver. All filters of one UNSUBSCRIBE are one event.
func (b *Bridge) Unsubscribed(ev shoal.UnsubscribedEvent) {
	on, comqtt := b.wanted()
	if !on || ev.Index > 0 {
		return
	}
	filters := document.ConcernedFilters(b.cfg.Events.Filters, ev.Together)
	switch {
	case comqtt: // also if it concerns none of them
		b.emitFilters("unsubscribe", &ev.Client, ev.PacketID, filters)
	case len(filters) > 0:
		b.emitDocument(document.OfUnsubscribed(b.node(), &ev.Client, filters))
	}
}

// SessionEnded implements shoal.SessionObserver. comqtt has no such event.
func (b *Bridge) SessionEnded(clientID string) {
	if on, comqtt := b.wanted(); on && !comqtt {
		b.emitDocument(document.OfSessionEnded(b.node(), clientID))
	}
}

// tells reports whether events tell of a message to a topic.
func (b *Bridge) tells(name string) bool {
	if len(b.cfg.Events.Topics) == 0 {
		return true
	}
	for _, f := range b.cfg.Events.Topics {
		if topics.Match(f, name) {
			return true
		}
	}
	return false
}

// published returns the key and the value of the event of a message.
func (b *Bridge) published(c *shoal.ClientInfo, m *shoal.Message, id uint16) (key string, value any) {
	if _, comqtt := b.wanted(); comqtt {
		return comqttPublish(c, m, id, time.Now().Unix())
	}
	e := document.OfPublished(b.node(), c, m)
	return e.Client, e
}

// observing is a Bridge that tells of messages once they are routed.
type observing struct{ *Bridge }

var _ shoal.PublishObserver = (*observing)(nil)

// Published implements shoal.PublishObserver.
func (o *observing) Published(ev shoal.PublishedEvent) {
	if o.tells(ev.Message.TopicName) {
		o.emit(o.published(&ev.Client, &ev.Message, ev.PacketID))
	}
}

// waiting is a Bridge that keeps the event of a message before the message is accepted.
type waiting struct{ *Bridge }

var _ shoal.PublishInterceptor = (*waiting)(nil)

// InterceptPublish implements shoal.PublishInterceptor.
func (w *waiting) InterceptPublish(ctx context.Context, ev *shoal.PublishEvent) error {
	if !w.tells(ev.Message.TopicName) {
		return nil
	}
	key, value := w.published(&ev.Client, &ev.Message, ev.PacketID)
	m, h, ok := w.eventMessage(key, value)
	if !ok {
		return nil
	}
	if ev.Message.QoS == 0 {
		h.PublishEvent(m)
		return nil
	}
	return h.KeepEvent(ctx, m)
}
