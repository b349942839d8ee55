package document

import (
	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/packets"
	"github.com/shoalmq/shoal/topics"
)

// The kinds of events.
const (
	KindConnected    = "connected"
	KindDisconnected = "disconnected"
	KindSubscribed   = "subscribed"
	KindUnsubscribed = "unsubscribed"
	KindSessionEnded = "session-ended"
	KindPublished    = "published"
)

// Event is something that a client did, or that befell it.
type Event struct {
	Event  string `json:"event"` // one of the kinds
	Time   string `json:"time"`  // RFC 3339
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

	Subscriptions []Subscription `json:"subscriptions,omitempty"` // subscribed
	Filters       []string       `json:"filters,omitempty"`       // unsubscribed
	Message       *Message       `json:"message,omitempty"`       // published
}

// Subscription is one of an Event.
type Subscription struct {
	Filter            string `json:"filter"`
	QoS               byte   `json:"qos"`
	NoLocal           bool   `json:"noLocal,omitempty"`
	RetainAsPublished bool   `json:"retainAsPublished,omitempty"`
	RetainHandling    byte   `json:"retainHandling,omitempty"`
}

// about returns an event of a client's at a node.
func about(kind, node string, c *shoal.ClientInfo) *Event {
	e := &Event{
		Event: kind, Time: now(), Node: node, Client: c.ClientID, Listener: c.Listener, Version: byte(c.Version),
	}
	if c.Principal != nil {
		e.Principal = c.Principal.Name
	}
	if c.RemoteAddr != nil {
		e.Remote = c.RemoteAddr.String()
	}
	return e
}

// OfConnected returns the document of a connection that has begun.
func OfConnected(node string, ev *shoal.ConnectedEvent) *Event {
	e := about(KindConnected, node, &ev.Client)
	cleanStart, sessionPresent := ev.CleanStart, ev.SessionPresent
	e.CleanStart, e.SessionPresent = &cleanStart, &sessionPresent
	return e
}

// OfDisconnected returns the document of a connection that has ended.
func OfDisconnected(node string, ev *shoal.DisconnectedEvent) *Event {
	e := about(KindDisconnected, node, &ev.Client)
	code := byte(ev.ReasonCode)
	e.ReasonCode, e.Seconds = &code, ev.After.Seconds()
	if ev.Err != nil {
		e.Error = ev.Err.Error()
	}
	return e
}

// OfSubscribed returns the document of subscriptions that were made together.
func OfSubscribed(node string, c *shoal.ClientInfo, subs []packets.Subscription) *Event {
	e := about(KindSubscribed, node, c)
	for _, s := range subs {
		e.Subscriptions = append(e.Subscriptions,
			Subscription{s.TopicFilter, byte(s.QoS), s.NoLocal, s.RetainAsPublished, s.RetainHandling})
	}
	return e
}

// OfUnsubscribed returns the document of subscriptions that were ended together.
func OfUnsubscribed(node string, c *shoal.ClientInfo, filters []string) *Event {
	e := about(KindUnsubscribed, node, c)
	e.Filters = filters
	return e
}

// OfSessionEnded returns the document of a session that has ended.
func OfSessionEnded(node, clientID string) *Event {
	return about(KindSessionEnded, node, &shoal.ClientInfo{ClientID: clientID})
}

// OfPublished returns the document of a message as an event of its publisher's.
func OfPublished(node string, c *shoal.ClientInfo, m *shoal.Message) *Event {
	e := about(KindPublished, node, c)
	e.Message = OfMessage(m)
	return e
}

// Concerned returns those subscriptions whose filters one of filters covers; all if there is none.
func Concerned(filters []string, subs []packets.Subscription) (list []packets.Subscription) {
	for _, s := range subs {
		if covered(filters, s.TopicFilter) {
			list = append(list, s)
		}
	}
	return list
}

// ConcernedFilters is Concerned of filters alone.
func ConcernedFilters(filters, of []string) (list []string) {
	for _, f := range of {
		if covered(filters, f) {
			list = append(list, f)
		}
	}
	return list
}

func covered(filters []string, filter string) bool {
	if len(filters) == 0 {
		return true
	}
	if share, ok, err := topics.ParseShare(filter); ok && err == nil {
		filter = share.Filter
	}
	for _, f := range filters {
		if topics.Covers(f, filter) {
			return true
		}
	}
	return false
}
