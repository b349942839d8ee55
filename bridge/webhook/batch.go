package webhook

import (
	"context"
	"encoding/json"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/bridge/document"
)

// Batch is the body of a request.
type Batch struct {
	Bridge string `json:"bridge"`
	Node   string `json:"node,omitempty"`
	Items  []Item `json:"items"` // in order
}

// Item is a message or an event.
type Item struct {
	Message *document.Message `json:"message,omitempty"`
	Event   *document.Event   `json:"event,omitempty"`
}

// item is one of the session's messages, and what the request has of it.
type item struct {
	message shoal.Message
	text    json.RawMessage
}

// gatherer makes batches of what the session has.
type gatherer struct {
	cfg    *Config
	sub    *shoal.Subscription
	events string // topic of events
	held   *shoal.Message
}

// next waits for a message, and returns it with those that are there already, or come within Linger, up
// to the bounds of a batch.
func (g *gatherer) next(ctx context.Context) (items []item, err error) {
	if g.held == nil {
		m, err := g.sub.Next(ctx)
		if err != nil {
			return nil, err
		}
		g.held = &m
	}
	more, cancel := context.WithTimeout(ctx, g.cfg.Linger)
	defer cancel()
	for size := 0; ; {
		size += len(g.held.Payload)
		items = append(items, g.item(g.held))
		g.held = nil
		if len(items) == g.cfg.Batch || size >= g.cfg.BatchBytes {
			return items, nil
		}
		m, err := g.sub.Next(more)
		switch {
		case err == nil:
			g.held = &m
		case more.Err() != nil && ctx.Err() == nil:
			return items, nil
		default:
			return nil, err // what was gathered comes again
		}
		if size+len(m.Payload) > g.cfg.BatchBytes {
			return items, nil
		}
	}
}

func (g *gatherer) item(m *shoal.Message) item {
	if m.TopicName == g.events {
		return item{*m, encoded(map[string]json.RawMessage{"event": m.Payload})}
	}
	return item{*m, encoded(Item{Message: document.OfMessage(m)})}
}

func encoded(v any) json.RawMessage {
	text, _ := json.Marshal(v) // has nothing that can fail: events were encoded by emit
	return text
}

// body returns that of a request.
func body(bridge, node string, items []item) []byte {
	list := make([]json.RawMessage, len(items))
	for i := range items {
		list[i] = items[i].text
	}
	return encoded(struct {
		Bridge string            `json:"bridge"`
		Node   string            `json:"node,omitempty"`
		Items  []json.RawMessage `json:"items"`
	}{bridge, node, list})
}
