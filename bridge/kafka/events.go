package kafka

import (
	"context"
	"encoding/json"
	"time"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/packets"
	"github.com/shoalmq/shoal/topics"
)

// Event is a record's value for an event in FormatJSON. Its key is the ClientID.
type Event struct {
	// Event is "connected", "disconnected", "subscribed", "unsubscribed", "session-ended" or "published".
	Event  string `json:"event"`
	Time   string `json:"time"` // RFC 3339
	Node   string `json:"node,omitempty"`
	Client string `json:"client"`
	// Principal, Remote, Listener and Version are those of the client's connection; not for session-ended.
	Principal string `json:"principal,omitempty"`
	Remote    string `json:"remote,omitempty"`
	Listener  string `json:"listener,omitempty"`
	Version   byte   `json:"protocolVersion,omitempty"` // 3, 4 or 5

	CleanStart     *bool   `json:"cleanStart,omitempty"`     // connected
	SessionPresent *bool   `json:"sessionPresent,omitempty"` // connected
	ReasonCode     *byte   `json:"reasonCode,omitempty"`     // disconnected
	Error          string  `json:"error,omitempty"`          // disconnected, but by the client's own DISCONNECT
	Seconds        float64 `json:"seconds,omitempty"`        // disconnected: how long it was connected

	Subscriptions []EventSubscription `json:"subscriptions,omitempty"` // subscribed
	Filters       []string            `json:"filters,omitempty"`       // unsubscribed
	Message       *json.RawMessage    `json:"message,omitempty"`       // published: a Message
}

// EventSubscription is one of an Event.
type EventSubscription struct {
	Filter            string `json:"filter"`
	QoS               byte   `json:"qos"`
	NoLocal           bool   `json:"noLocal,omitempty"`
	RetainAsPublished bool   `json:"retainAsPublished,omitempty"`
	RetainHandling    byte   `json:"retainHandling,omitempty"`
}

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

// about returns an event of a client's.
func (b *Bridge) about(event string, c *shoal.ClientInfo) *Event {
	e := &Event{Event: event, Time: time.Now().UTC().Format(time.RFC3339Nano), Client: c.ClientID, Listener: c.Listener, Version: byte(c.Version)}
	if h := b.bound(); h != nil {
		e.Node = h.Node()
	}
	if c.Principal != nil {
		e.Principal = c.Principal.Name
	}
	if c.RemoteAddr != nil {
		e.Remote = c.RemoteAddr.String()
	}
	return e
}

// Connected implements shoal.ConnectObserver.
func (b *Bridge) Connected(ev shoal.ConnectedEvent) {
	on, comqtt := b.wanted()
	switch {
	case !on:
	case comqtt:
		b.emitConnect(&ev)
	default:
		e := b.about("connected", &ev.Client)
		e.CleanStart, e.SessionPresent = &ev.CleanStart, &ev.SessionPresent
		b.emit(e.Client, e)
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
		e := b.about("disconnected", &ev.Client)
		code := byte(ev.ReasonCode)
		e.ReasonCode, e.Seconds = &code, ev.After.Seconds()
		if ev.Err != nil {
			e.Error = ev.Err.Error()
		}
		b.emit(e.Client, e)
	}
}

// Subscribed implements shoal.SubscriptionObserver. All subscriptions of one SUBSCRIBE are one event.
func (b *Bridge) Subscribed(ev shoal.SubscribedEvent) {
	on, comqtt := b.wanted()
	if !on || ev.Index > 0 {
		return
	}
	var subs []EventSubscription
	var filters []string
	for _, s := range ev.Together {
		if b.concerns(s.TopicFilter) {
			filters = append(filters, s.TopicFilter)
			subs = append(subs, EventSubscription{s.TopicFilter, byte(s.QoS), s.NoLocal, s.RetainAsPublished, s.RetainHandling})
		}
	}
	switch {
	case len(subs) == 0:
	case comqtt:
		b.emitFilters("subscribe", &ev.Client, ev.PacketID, filters)
	default:
		e := b.about("subscribed", &ev.Client)
		e.Subscriptions = subs
		b.emit(e.Client, e)
	}
}

// Unsubscribed implements shoal.UnsubscriptionObserver. All filters of one UNSUBSCRIBE are one event.
func (b *Bridge) Unsubscribed(ev shoal.UnsubscribedEvent) {
	on, comqtt := b.wanted()
	if !on || ev.Index > 0 {
		return
	}
	var filters []string
	for _, f := range ev.Together {
		if b.concerns(f) {
			filters = append(filters, f)
		}
	}
	switch {
	case comqtt: // also if it concerns none of them
		b.emitFilters("unsubscribe", &ev.Client, ev.PacketID, filters)
	case len(filters) > 0:
		e := b.about("unsubscribed", &ev.Client)
		e.Filters = filters
		b.emit(e.Client, e)
	}
}

// SessionEnded implements shoal.SessionObserver. comqtt has no such event.
func (b *Bridge) SessionEnded(clientID string) {
	if on, comqtt := b.wanted(); on && !comqtt {
		b.emit(clientID, b.about("session-ended", &shoal.ClientInfo{ClientID: clientID}))
	}
}

// concerns reports whether events tell of a subscription to filter.
func (b *Bridge) concerns(filter string) bool {
	if len(b.cfg.Events.Filters) == 0 {
		return true
	}
	if share, ok, err := topics.ParseShare(filter); ok && err == nil {
		filter = share.Filter
	}
	for _, f := range b.cfg.Events.Filters {
		if topics.Covers(f, filter) {
			return true
		}
	}
	return false
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
	e := b.about("published", c)
	raw := json.RawMessage(encodeMessage(m))
	e.Message = &raw
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
