package mqtt

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/internal/session"
	"github.com/shoalmq/shoal/packets"
	"github.com/shoalmq/shoal/topics"
)

// hopProperty is the User Property that says over which bridges a message has come.
const hopProperty = "shoal-hop"

// hops returns over how many bridges a message has come, and whether via is among them.
func hops(p *packets.Properties, via string) (n int, before bool) {
	for _, u := range p.UserProperties {
		if u.Key == hopProperty {
			n++
			before = before || u.Value == via
		}
	}
	return n, before
}

// route returns the topic that a message has on the other side, and the QoS that it may keep. ok is false if no rule matches.
func route(rules []Rule, topic string, from, to func(r *Rule) (prefix, filter string)) (there string, qos packets.QoS, ok bool) {
	for i := range rules {
		prefix, filter := from(&rules[i])
		rest, has := strings.CutPrefix(topic, prefix)
		if has && topics.Match(filter, topic) {
			other, _ := to(&rules[i])
			return other + rest, rules[i].QoS, true
		}
	}
	return "", 0, false
}

func atLocal(r *Rule) (prefix, filter string)  { return r.LocalPrefix, r.local() }
func atRemote(r *Rule) (prefix, filter string) { return r.RemotePrefix, r.remote() }

// send takes messages of this broker's to the other one.
func (c *crossing) send(ctx context.Context, sub *shoal.Subscription) error {
	for {
		m, err := sub.Next(ctx)
		if err != nil {
			return err
		}
		c.sendOne(&m)
	}
}

func (c *crossing) sendOne(m *shoal.Message) {
	topic, qos, ok := route(c.b.cfg.Out, m.TopicName, atLocal, atRemote)
	n, _ := hops(&m.Properties, "")
	switch {
	case !ok: // by a rule that there was before
		m.Acknowledge()
		return
	case topics.ValidateName(topic) != nil || n >= MaxHops:
		m.Refuse()
		return
	}
	qos = min(qos, m.QoS)
	out := c.outgoing(m, topic, qos)
	if qos == 0 {
		if !c.remote.PublishQoS0(out, m.Retain) {
			c.h.Drop(m.TopicName, 0, shoal.DropOffline)
		}
		m.Acknowledge()
		return
	}
	c.remote.Publish(out, qos, m.Retain, func(why session.Why) {
		if why == session.Acknowledged {
			m.Acknowledge()
			return
		}
		c.h.Logger().Warn("the other broker does not take a message", "topic", topic, "reason", why.String())
		m.Refuse()
	})
}

// outgoing is the message for the other broker.
func (c *crossing) outgoing(m *shoal.Message, topic string, qos packets.QoS) *session.Message {
	out := &session.Message{TopicName: topic, Payload: m.Payload, QoS: qos, Retain: m.Retain}
	if c.b.cfg.Version < packets.V5 {
		return out
	}
	out.Properties = session.ForwardedProperties(&m.Properties)
	if out.Properties == nil {
		out.Properties = new(packets.Properties)
	}
	out.Properties.UserProperties = append(out.Properties.UserProperties, packets.UserProperty{Key: hopProperty, Value: c.b.cfg.Via})
	if v, ok := m.Properties.MessageExpiryInterval.Get(); ok {
		out.Expires = time.Now().Add(time.Duration(v) * time.Second).UnixNano()
	}
	return out
}

// receive takes a message of the other broker's to this one.
func (c *crossing) receive(p *packets.Publish, accepted func(error)) {
	topic, qos, ok := route(c.b.cfg.In, p.TopicName, atRemote, atLocal)
	n, before := hops(&p.Properties, c.b.cfg.Via)
	switch {
	case !ok || before: // a subscription that there was before, or a message that has been here
		accepted(nil)
		return
	case topics.ValidateName(topic) != nil || topic[0] == '$' || n >= MaxHops:
		c.h.Drop(topic, p.QoS, shoal.DropRefused)
		accepted(nil)
		return
	}
	m := shoal.Message{TopicName: topic, Payload: p.Payload, QoS: min(qos, p.QoS), Retain: p.Retain, Properties: p.Properties}
	m.Properties.SubscriptionIdentifiers = nil
	err := c.h.PublishAsync(c.ctx, m, func(err error) {
		if err != nil {
			err = failed(topic, err)
		}
		accepted(err)
	})
	switch {
	case err == nil:
	case isFault(err):
		c.h.Drop(topic, p.QoS, shoal.DropRefused)
		c.h.Logger().Warn("a message of the other broker's cannot be published", "topic", topic, "error", err)
		accepted(nil)
	default:
		accepted(failed(topic, err))
	}
}

// isFault reports whether a message is refused because of what it is.
func isFault(err error) bool {
	switch shoal.ReasonCodeOf(err, packets.Success) {
	case packets.TopicNameInvalid, packets.PacketTooLarge, packets.QoSNotSupported:
		return !errors.Is(err, shoal.ErrNotServing)
	}
	return false
}
